"""Which way a slice lies, and how it is shown: the radiological convention.

Axis codes have one letter an array axis: the side of the patient that its index grows towards (L,
R, P, A, S, I), e.g. ``LPS``. Shown slices have the patient's right at the image's left:

- axial: right at the left, front (anterior) at the top;
- coronal: right at the left, head (superior) at the top;
- sagittal: front at the left, head at the top.

Only axes are swapped and flipped, nothing is resampled: an oblique slice is shown along the nearest
axes, and pixels keep the proportions of the voxels (`ImageRef.spacing_mm` says which).
"""

from itertools import permutations
from typing import TYPE_CHECKING, Any

from semihvision.core.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

SLICE_AXES = {"sagittal": "LR", "coronal": "PA", "axial": "SI"}
"""The letters of the array axis along which each kind of slice is counted."""

_LETTERS = ("LR", "PA", "SI")
_MIN_VOLUME = 1e-3


def axis_code(directions: "NDArray[Any]") -> str:
    """Nearest axis code of an array.

    Args:
        directions: (3, 3); column k is the direction of array axis k in the patient, in
            coordinates that grow to the left, to the back and to the head (DICOM's; NIfTI's first
            two are the other way round). Any length.

    Returns:
        Three letters; each array axis takes the patient axis that makes the sum of the absolute
        cosines largest, so that no patient axis is taken twice.

    Raises:
        InputError: A direction is zero or not finite, or the three lie in one plane.
    """
    import numpy as np

    lengths = np.linalg.norm(directions, axis=0)
    if not np.isfinite(directions).all() or (lengths == 0).any():
        raise InputError("orientation: expected three directions", kind="invalid_orientation")
    cosines = directions / lengths
    if abs(np.linalg.det(cosines)) < _MIN_VOLUME:
        raise InputError(
            "orientation: the directions of the axes lie in one plane", kind="invalid_orientation"
        )
    best = max(
        permutations(range(3)),
        key=lambda taken: sum(abs(cosines[patient, axis]) for axis, patient in enumerate(taken)),
    )
    return "".join(
        _LETTERS[patient][int(cosines[patient, axis] < 0)] for axis, patient in enumerate(best)
    )


def upright(pixels: "NDArray[Any]", *, rows: str, columns: str) -> "NDArray[Any]":
    """Turns a slice into the radiological convention; a view, not a copy.

    Args:
        pixels: (rows, columns, ...).
        rows: Letter that the row index grows towards.
        columns: Letter that the column index grows towards.
    """
    if is_transposed(rows=rows, columns=columns):
        pixels, rows, columns = pixels.swapaxes(0, 1), columns, rows
    if columns not in "LP":
        pixels = pixels[:, ::-1]
    if rows not in "PI":
        pixels = pixels[::-1]
    return pixels


def is_transposed(*, rows: str, columns: str) -> bool:
    """Whether `upright` swaps rows and columns: sideways goes left-right, or front-back if none."""
    return rows in "LR" or (rows in "PA" and columns in "SI")


def slice_of(volume: Any, code: str, axis: str, index: int) -> "NDArray[Any]":
    """One slice of a volume, shown in the radiological convention.

    Args:
        volume: (I, J, K) array or anything that is indexed as one; only the slice is taken.
        code: Its axis code.
        axis: One of `SLICE_AXES`.
        index: From 0, counted to the left (sagittal), to the back (coronal), to the head (axial),
            however the file is stored.
    """
    import numpy as np

    along = stored_axis(code, axis)
    place: list[Any] = [slice(None)] * 3
    place[along] = index if code[along] in "LPS" else volume.shape[along] - 1 - index
    rows, columns = (letter for k, letter in enumerate(code) if k != along)
    return upright(np.asarray(volume[tuple(place)]), rows=rows, columns=columns)


def stored_axis(code: str, axis: str) -> int:
    """Number of the array axis along which slices of that kind are counted."""
    return next(k for k, letter in enumerate(code) if letter in SLICE_AXES[axis])


def shown_box(
    low: tuple[float, ...], high: tuple[float, ...], *, shape: tuple[int, ...], code: str, axis: str
) -> tuple[tuple[int, int], tuple[float, float, float, float]]:
    """A box in voxels of the stored array, as slices and a box in the shown slices.

    Args:
        low: Lower corner on each array axis, from 0.
        high: Upper corner on each, exclusive.
        shape: Of the stored array.
        code: Its axis code.
        axis: One of `SLICE_AXES`.

    Returns:
        First and last slice (inclusive), and left, top, right, bottom in pixels.
    """
    spans = {}  # by the first letter of the patient axis, growing towards that letter
    for k, letter in enumerate(code):
        kept = letter in "LPS"
        span = (low[k], high[k]) if kept else (shape[k] - high[k], shape[k] - low[k])
        spans[next(pair for pair in _LETTERS if letter in pair)] = (span, shape[k])
    (first, end), _ = spans[SLICE_AXES[axis]]
    (left, right), _ = spans["PA" if axis == "sagittal" else "LR"]
    (top, bottom), height = spans["PA" if axis == "axial" else "SI"]
    if axis != "axial":  # the head is at the top
        top, bottom = height - bottom, height - top
    return (int(first), int(end) - 1), (left, top, right, bottom)
