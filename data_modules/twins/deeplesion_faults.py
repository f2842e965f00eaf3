"""DeepLesion's twin with quirks and planted faults."""

from collections.abc import Callable
from pathlib import Path

from PIL import Image

from data_modules.deeplesion_rows import COLUMNS, image_path
from data_modules.twins.deeplesion import draw_patients, write_table
from data_modules.twins.faults import FaultyTwin
from data_modules.twins.planting import IMAGE_FAULTS, LATIN_1, Sheet, spoil_letters

_CELLS: dict[str, tuple[str, str, str]] = {
    "box of three numbers": ("Bounding_boxes", "1, 2, 3", "invalid_row"),
    "NaN in a box": ("Bounding_boxes", "1, 2, nan, 9", "invalid_row"),
    "NaN lesion type": ("Coarse_lesion_type", "nan", "invalid_row"),
    "window upside down": ("DICOM_windows", "275, -175", "invalid_row"),
    "unknown split": ("Train_Val_Test", "4", "invalid_row"),
    "path outside of the root": ("File_name", "../../1_01_01_020.png", "invalid_row"),
    "Latin-1": ("Patient_gender", LATIN_1, "encoding"),
}
"""Fault of a lesion's row -> column, cell, kind."""

_FILES: dict[str, tuple[Callable[[Path], object], str]] = IMAGE_FAULTS | {
    "8-bit screen copy": (lambda path: Image.new("L", (256, 256)).save(path), "image_format"),
    "another size": (lambda path: Image.new("I;16", (9, 9)).save(path), "image_size"),
}
"""Fault of a key slice -> what makes it, and the kind; it costs all lesions of the slice."""

_QUIRKS = ("byte order mark", "noisy row", "no age")


def write_faults(root: Path, *, cases: int, seed: int) -> FaultyTwin:
    """Writes sound patients, quirks, and one patient for each fault; units are rows."""
    patients = draw_patients(root, cases + len(_CELLS) + len(_FILES) + 3, seed)
    faulty = iter(patients[cases:])
    sheet = Sheet("DL_info.csv")
    for patient in patients[:cases]:
        for row in patient:
            sheet.add(row)
    sheet.rows[0][COLUMNS.index("Possibly_noisy")] = "1"
    sheet.rows[-1][COLUMNS.index("Patient_age")] = "NaN"
    for fault, (column, cell, kind) in _CELLS.items():
        first, *others = next(faulty)
        first[COLUMNS.index(column)] = cell
        sheet.add(first, fault, kind)
        for row in others:
            sheet.add(row)
    for fault, (spoil, kind) in _FILES.items():
        patient = next(faulty)
        spoil(root / image_path(patient[0][0]))
        for row in patient:
            sheet.add(row, fault, kind)
    short, joined, twice = (patient[0] for patient in faulty)
    sheet.add(short[:-1], "cell missing", "broken_row")
    sheet.add([";".join(joined)], "another delimiter", "broken_row")
    sheet.add(twice)
    sheet.add(list(twice), "row twice", "repeated_id")
    write_table(root, sheet.rows)
    spoil_letters(root / sheet.file, bom=True)
    return FaultyTwin(tuple(sheet.planted), "regions", len(sheet.rows), _QUIRKS)
