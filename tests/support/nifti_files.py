"""Small NIfTI files written for tests, and one phantom for all formats."""

from itertools import permutations, product
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray

CODES = [
    "".join(("LR", "PA", "SI")[axis][flip] for axis, flip in zip(order, flips, strict=True))
    for order in permutations(range(3))
    for flips in product((0, 1), repeat=3)
]
"""The axis code of every storage order."""


def phantom_lps() -> NDArray[Any]:
    """(6, 8, 10) as [left, back, head]: every corner of it has another value."""
    volume = np.zeros((6, 8, 10), dtype=np.int16)
    volume[0, 0, 0], volume[1, 0, 0], volume[0, 1, 0], volume[0, 0, 1] = 1000, 600, 400, 200
    volume[5, 0, 0], volume[0, 7, 0], volume[0, 0, 9], volume[5, 7, 9] = 900, 800, 700, 100
    return volume


def stored_as(lps: NDArray[Any], code: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """A volume [left, back, head] stored along another axis code, and its affine (1, 2, 3 mm)."""
    axes = [next(k for k, pair in enumerate(("LR", "PA", "SI")) if c in pair) for c in code]
    stored = lps.transpose(axes)
    affine = np.eye(4)
    affine[:3, :3] = 0
    for k, (axis, letter) in enumerate(zip(axes, code, strict=True)):
        if letter not in "LPS":
            stored = np.flip(stored, k)
        towards = 1 if letter in "RAS" else -1  # NIfTI counts to the right, front and head
        affine[axis, k] = towards * (axis + 1)
    return np.ascontiguousarray(stored), affine


def write_nifti(
    path: Path, values: NDArray[Any], affine: NDArray[Any] | None = None, **fields: Any
) -> str:
    """Writes a NIfTI-1 file, with further header fields, and returns its name."""
    image = nibabel.Nifti1Image(values, np.diag([-1, -1, 1, 1]) if affine is None else affine)
    for name, value in fields.items():
        image.header[name] = value
    nibabel.save(image, path)
    return path.name
