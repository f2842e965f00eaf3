"""The twin of DeepLesion: CT phantoms with boxes and diameters around their lesions."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.random import default_rng
from PIL import Image

from data_modules.deeplesion import HU_OFFSET
from data_modules.deeplesion_rows import COLUMNS
from data_modules.phantoms import Lesion, Phantom, design, draw
from semihvision.core.files import open_atomically

_TYPES = {"liver": 4, "kidneys": 6}
_WINDOW = (-175.0, 275.0)
_SPACING = (0.8, 0.8, 5.0)


def write_twin(root: Path, *, cases: int, seed: int) -> None:
    """Writes CT phantoms in the owners' layout: a key slice with one to three lesions a patient.

    Beside each key slice lie its two neighbours, without the lesions. Every fifth slice has lesion
    type -1; in the real table all training rows have it. Kidneys are drawn coronally, although the
    layout is that of axial slices.

    Args:
        root: Folder to write to.
        cases: Number of patients.
        seed: Decides everything.
    """
    write_table(root, [row for rows in draw_patients(root, cases, seed) for row in rows])


def draw_patients(root: Path, cases: int, seed: int) -> list[list[list[str]]]:
    """Draws the slices of all patients and returns the rows of each."""
    random = default_rng([seed, 3])
    patients = []
    for index, factors in enumerate(design(cases, random, tuple(_TYPES))):
        patient, key = index + 1, int(random.integers(20, 60))
        folder = root / "Images_png" / f"{patient:06d}_01_01"
        folder.mkdir(parents=True, exist_ok=True)
        phantom = draw(factors, [seed, 3, index], size_px=256)
        empty = draw(factors, [seed, 3, index], size_px=256, with_lesions=False)
        for offset in (-1, 0, 1):
            path = folder / f"{key + offset:03d}.png"
            _save_hu(phantom if offset == 0 else empty, path)
        known = "-1" if index % 5 == 4 else str(_TYPES[factors.organ])
        patient_cells = ("FM"[index % 2], int(random.integers(30, 85)), 1 + min(2, index % 6 // 2))
        patients.append(
            [_row(patient, key, lesion, known, patient_cells) for lesion in phantom.lesions]
        )
    return patients


def write_table(root: Path, rows: Sequence[Sequence[str]]) -> None:
    """Writes `DL_info.csv`."""
    with open_atomically(root / "DL_info.csv") as stream:
        csv.writer(stream, lineterminator="\n").writerows([COLUMNS, *rows])


def _save_hu(phantom: Phantom, path: Path) -> None:
    low, high = _WINDOW
    stored = np.rint(phantom.pixels * (high - low) + low) - HU_OFFSET
    Image.fromarray(stored.astype(np.uint16)).save(path, compress_level=1)


def _row(
    patient: int, key: int, lesion: Lesion, known: str, patient_cells: tuple[str, int, int]
) -> list[str]:
    x, y = lesion.centre_xy
    rx, ry = lesion.radii_xy
    across, down = (x - rx, y, x + rx, y), (x, y - ry, x, y + ry)
    long, short = (across, down) if rx >= ry else (down, across)
    place = (x / 256, y / 256, 0.5)
    cells = (
        f"{patient:06d}_01_01_{key:03d}.png", patient, 1, 1, key,
        _cell(*long, *short), _cell(*lesion.box_xyxy), _cell(2 * max(rx, ry), 2 * min(rx, ry)),
        _cell(*place), known, 0, f"{key - 1}, {key + 1}",
        _cell(*_SPACING), "256, 256", _cell(*_WINDOW), *patient_cells,
    )  # fmt: skip
    return [str(cell) for cell in cells]


def _cell(*values: float) -> str:
    return ", ".join(f"{value:.6g}" for value in values)
