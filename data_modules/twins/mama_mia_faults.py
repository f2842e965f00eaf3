"""MAMA-MIA's twin with quirks and planted faults."""

import codecs
import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np

from data_modules.mama_mia import SPLIT_FILE
from data_modules.mama_mia_masks import FOLDER
from data_modules.mama_mia_sheet import FILE
from data_modules.twins.faults import FaultyTwin, Planted, truncate
from data_modules.twins.mama_mia import Row, draw_patients, write_tables
from data_modules.twins.volumes import NUM_SLICES, VOLUME_FAULTS, write_volume

_CELLS: dict[str, tuple[str, str, str]] = {
    "path outside of the root": ("patient_id", "../DUKE_001", "invalid_row"),
    "no patient": ("patient_id", "", "invalid_row"),
    "unknown collection": ("dataset", "TCGA", "invalid_row"),
    "date in another form": ("acquisition_date", "13 October 1984", "invalid_row"),
    "date as a number of days": ("acquisition_date", "30968", "invalid_row"),
    "flag that is none": ("pcr", "2", "invalid_row"),
    "phases that are no number": ("num_phases", "several", "invalid_row"),
    "age that is none": ("age", "about 50", "invalid_row"),
    "unknown view": ("view", "oblique", "invalid_row"),
}
"""Fault of a row -> column, cell, kind."""


def _other_size(path: Path) -> None:
    write_volume(path, np.ones((9, 9, NUM_SLICES), np.uint8))


def _empty(path: Path) -> None:
    write_volume(path, np.zeros((64, 64, NUM_SLICES), np.uint8))


_MASKS: dict[str, tuple[Callable[[Path], object], str]] = {
    "segmentation of another size": (_other_size, "image_size"),
    "empty segmentation": (_empty, "empty_segmentation"),
    "truncated segmentation": (truncate, "unreadable_image"),
}
"""Fault of a segmentation; the patient's images are taken at even distances."""

_QUIRKS = (
    "byte order mark in the splits", "file names in lower case", "volumes that are not packed",
    "no segmentation", "NaN labels", "numbers with .0", "menopause with its explanation",
    "lower case and upper case",
)  # fmt: skip


def write_faults(root: Path, *, cases: int, seed: int) -> FaultyTwin:
    """Writes sound patients, quirks, and one patient for each fault; units are slices."""
    total = cases + 2 + len(_CELLS) + len(VOLUME_FAULTS) + len(_MASKS) + 3
    rows = draw_patients(root, total, seed)
    faulty = iter(rows[cases + 2 :])
    planted: list[Planted] = []
    slices = {row["patient_id"]: _num_slices(root, row["patient_id"]) for row in rows}
    found = sum(slices[row["patient_id"]] * int(row["num_phases"]) for row in rows)
    found += _make_quirky(root, rows[cases : cases + 2], slices)
    numbers = {row["patient_id"]: number for number, row in enumerate(rows, start=2)}

    def plant(fault: str, row: Row, kind: str, part: str = "", lost: int = 1) -> None:
        place = f"row {numbers[row['patient_id']]}"
        planted.append(Planted(fault, place + part, kind, FILE, lost * slices[row["patient_id"]]))

    for fault, (spoil, kind) in VOLUME_FAULTS.items():
        row = next(faulty)
        spoil(_volume(root / "images" / row["patient_id"], row["patient_id"], "_0001"))
        plant(fault, row, kind, ", phase 1")
    for fault, (spoil, kind) in _MASKS.items():
        row = next(faulty)
        spoil(_volume(root / FOLDER, row["patient_id"]))
        found += (NUM_SLICES - slices[row["patient_id"]]) * int(row["num_phases"])
        plant(fault, row, kind, ", segmentation", lost=0)
    row = next(faulty)
    row["num_phases"] = str(int(row["num_phases"]) - 1)
    plant("a phase too many", row, "contradicting_rows", f", phase {row['num_phases']}")
    for fault, (column, cell, kind) in _CELLS.items():
        row = next(faulty)
        plant(fault, row, kind, lost=int(row["num_phases"]))
        if column == "patient_id":
            _remove(root, row["patient_id"])
        row[column] = cell
    twice, unsplit = faulty
    rows.append({**twice})
    planted.append(Planted("patient twice", f"row {len(rows) + 1}", "repeated_id", FILE, 0))
    plant("in no split", unsplit, "no_split", lost=int(unsplit["num_phases"]))
    write_tables(root, rows)
    planted += _spoil_splits(root / SPLIT_FILE, unsplit["patient_id"], rows[0]["patient_id"])
    (root / "images/AA").mkdir()
    planted.append(Planted("folder without a row", "folder 1 of images", "no_row", "images", 0))
    return FaultyTwin(tuple(planted), "images", found, _QUIRKS)


def _volume(folder: Path, patient: str, suffix: str = "") -> Path:
    """A patient's packed file, in either spelling."""
    names = (f"{name}{suffix}.nii.gz" for name in (patient, patient.lower()))
    return next(folder / name for name in names if (folder / name).exists())


def _num_slices(root: Path, patient: str) -> int:
    """Marked slices of a segmentation, whose values follow 352 bytes of header."""
    data = gzip.decompress(_volume(root / FOLDER, patient).read_bytes())[352:]
    return sum(map(any, np.array_split(np.frombuffer(data, np.uint8), NUM_SLICES)))


def _remove(root: Path, patient: str) -> None:
    """Removes a patient's volumes, which no row names any more."""
    folder = root / "images" / patient
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()


def _make_quirky(root: Path, rows: list[Row], slices: dict[str, int]) -> int:
    """Makes two patients quirky; returns how many slices more are to be taken."""
    plain, silent = rows
    patient = plain["patient_id"]
    for path in sorted((root / "images" / patient).iterdir()):
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    _volume(root / FOLDER, patient).unlink()
    for name in ("pcr", "her2", "tumor_subtype", "acquisition_date", "age"):
        silent[name] = "NaN"
    silent["num_phases"] += ".0"
    return (NUM_SLICES - slices[patient]) * int(plain["num_phases"])


def _spoil_splits(path: Path, unsplit: str, twice: str) -> list[Planted]:
    """Takes one patient out of the splits, adds faulty lines, and a byte order mark."""
    lines = path.read_bytes().replace(unsplit.encode(), b"").splitlines()
    planted = []
    for fault, line, kind in (
        ("Latin-1", "é,".encode("latin-1"), "encoding"),
        ("cell missing", b"DUKE_900", "broken_row"),
        ("another delimiter", b"DUKE_901;", "broken_row"),
        ("in both splits", f",{twice}".encode(), "contradicting_rows"),
    ):
        lines.append(line)
        planted.append(Planted(fault, f"line {len(lines)}", kind, path.name, 0))
    path.write_bytes(codecs.BOM_UTF8 + b"\n".join(lines) + b"\n")
    return planted
