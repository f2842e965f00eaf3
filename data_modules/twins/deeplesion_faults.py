"""DeepLesion's twin with quirks and planted faults."""

import codecs
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from data_modules.deeplesion_rows import COLUMNS, image_path
from data_modules.twins.deeplesion import draw_patients, write_table
from data_modules.twins.faults import (
    FaultyTwin,
    Planted,
    link_out,
    truncate,
    write_bomb,
    write_claimed,
)

_LATIN_1 = "\u00e9"

_CELLS: dict[str, tuple[str, str, str]] = {
    "box of three numbers": ("Bounding_boxes", "1, 2, 3", "invalid_row"),
    "NaN in a box": ("Bounding_boxes", "1, 2, nan, 9", "invalid_row"),
    "NaN lesion type": ("Coarse_lesion_type", "nan", "invalid_row"),
    "window upside down": ("DICOM_windows", "275, -175", "invalid_row"),
    "unknown split": ("Train_Val_Test", "4", "invalid_row"),
    "path outside of the root": ("File_name", "../../1_01_01_020.png", "invalid_row"),
    "Latin-1": ("Patient_gender", _LATIN_1, "encoding"),
}
"""Fault of a lesion's row -> column, cell, kind."""

_FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "truncated image": (truncate, "unreadable_image"),
    "decompression bomb": (write_bomb, "image_too_large"),
    "4 GB claimed": (write_claimed, "image_too_large"),
    "link out of the root": (link_out, "path_outside_root"),
    "missing image": (Path.unlink, "missing_image"),
    "8-bit screen copy": (lambda path: Image.new("L", (256, 256)).save(path), "image_format"),
    "another size": (lambda path: Image.new("I;16", (9, 9)).save(path), "image_size"),
}
"""Fault of a key slice -> what makes it, and the kind; it costs all lesions of the slice."""

_QUIRKS = ("byte order mark", "noisy row", "no age")


def write_faults(root: Path, *, cases: int, seed: int) -> FaultyTwin:
    """Writes sound patients, quirks, and one patient for each fault; units are rows."""
    patients = draw_patients(root, cases + len(_CELLS) + len(_FILES) + 3, seed)
    faulty = iter(patients[cases:])
    rows = [row for patient in patients[:cases] for row in patient]
    rows[0][COLUMNS.index("Possibly_noisy")] = "1"
    rows[-1][COLUMNS.index("Patient_age")] = "NaN"
    planted: list[Planted] = []

    def add(row: list[str], fault: str = "", kind: str = "") -> None:
        rows.append(row)
        if fault:
            planted.append(Planted(fault, f"line {len(rows) + 1}", kind, "DL_info.csv"))

    for fault, (column, cell, kind) in _CELLS.items():
        first, *others = next(faulty)
        first[COLUMNS.index(column)] = cell
        add(first, fault, kind)
        for row in others:
            add(row)
    for fault, (spoil, kind) in _FILES.items():
        patient = next(faulty)
        spoil(root / image_path(patient[0][0]))
        for row in patient:
            add(row, fault, kind)
    short, joined, twice = (patient[0] for patient in faulty)
    add(short[:-1], "cell missing", "broken_row")
    add([";".join(joined)], "another delimiter", "broken_row")
    add(twice)
    add(list(twice), "row twice", "repeated_id")
    write_table(root, rows)
    table = root / "DL_info.csv"
    data = table.read_bytes().replace(_LATIN_1.encode(), _LATIN_1.encode("latin-1"))
    table.write_bytes(codecs.BOM_UTF8 + data)
    return FaultyTwin(tuple(planted), "regions", len(rows), _QUIRKS)
