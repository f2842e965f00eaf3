"""Volumes for twins: a phantom repeated through some slices, its lesions in a few of them."""

import gzip
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray

from data_modules.phantoms import Factors, draw
from data_modules.twins.faults import link_out, truncate

SIZE_PX = 64
NUM_SLICES = 8
SPACING_MM = (3.0, 3.0, 5.0)
CODES = ("LPS", "RAS")
"""Axis codes that twins are stored in: both occur in owners' files."""

Corners = tuple[tuple[int, int, int], tuple[int, int, int]]


def draw_volume(
    factors: Factors, seed: Sequence[int], *, gain: float = 1.0
) -> tuple[NDArray[Any], list[Corners]]:
    """Draws a volume.

    Args:
        factors: What each slice shows; lesion k lies in three slices from slice 1 + k on.
        seed: Decides everything.
        gain: Brightness, at most 1.

    Returns:
        (SIZE_PX, SIZE_PX, NUM_SLICES) uint8 as [left, back, head]; and of each lesion the lower
        and the upper corner (exclusive) in voxels.
    """
    full = draw(factors, seed, size_px=SIZE_PX)
    empty = draw(factors, seed, size_px=SIZE_PX, with_lesions=False)
    slices = np.stack([empty.pixels * (0.86 + 0.02 * z) for z in range(NUM_SLICES)], axis=-1)
    boxes = []
    for number, lesion in enumerate(full.lesions):
        (x0, y0, x1, y1), first = lesion.box_xyxy, 1 + number
        slices[y0:y1, x0:x1, first : first + 3] = full.pixels[y0:y1, x0:x1, None]
        boxes.append(((x0, y0, first), (x1, y1, first + 3)))
    # 26 grey levels pack into half of what 256 do, and the noise hides the steps.
    shown = (np.rint(slices * gain * 25) * 10).astype(np.uint8)
    return shown.transpose(1, 0, 2), boxes


def write_volume(path: Path, lps: NDArray[Any], code: str = "LPS") -> None:
    """Writes a volume [left, back, head] as NIfTI, packed, stored along one of `CODES`."""
    flips = _flips(code)
    affine = np.diag([*(s * f for s, f in zip((-1, -1, 1), flips, strict=True)), 1.0])
    affine[:3, :3] *= SPACING_MM
    stored = np.ascontiguousarray(lps[tuple(slice(None, None, flip) for flip in flips)])
    image = nibabel.Nifti1Image(stored, affine)  # type: ignore[no-untyped-call]
    path.parent.mkdir(parents=True, exist_ok=True)
    # A fixed time in the header keeps the bytes the same for the same seed.
    path.write_bytes(gzip.compress(image.to_bytes(), mtime=0))


def stored_box(box: Corners, code: str) -> Corners:
    """Corners of a box [left, back, head] in voxels of the array as `write_volume` stores it."""
    (low, high), sizes = box, (SIZE_PX, SIZE_PX, NUM_SLICES)
    spans = [
        (a, b) if flip == 1 else (size - b, size - a)
        for a, b, size, flip in zip(low, high, sizes, _flips(code), strict=True)
    ]
    (x0, x1), (y0, y1), (z0, z1) = spans
    return (x0, y0, z0), (x1, y1, z1)


def claim(path: Path) -> None:
    """Makes a packed volume claim 1,625 x 1,625 x 1,625 voxels of one byte: 4 GB."""
    data = bytearray(gzip.decompress(path.read_bytes()))
    data[42:48] = np.array([1625] * 3, "<i2").tobytes()
    path.write_bytes(gzip.compress(bytes(data), mtime=0))


def write_bomb(path: Path) -> None:
    """Writes a hundred kilobytes that unpack to 100 MB of zeros and claim to be 3 GB."""
    image = nibabel.Nifti1Image(np.zeros((1, 1, 1), np.uint8), np.eye(4))  # type: ignore[no-untyped-call]
    head = bytearray(image.to_bytes()[:352])
    head[42:48] = np.array([1450] * 3, "<i2").tobytes()
    path.write_bytes(gzip.compress(bytes(head), mtime=0) + 6 * gzip.compress(bytes(2**24), mtime=0))


VOLUME_FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "truncated volume": (truncate, "unreadable_image"),
    "decompression bomb": (write_bomb, "image_too_large"),
    "4 GB claimed": (claim, "image_too_large"),
    "link out of the root": (link_out, "path_outside_root"),
    "missing volume": (Path.unlink, "missing_image"),
}
"""Fault of a volume -> what makes it of a sound one, and the kind."""


def _flips(code: str) -> tuple[int, int, int]:
    """1 or -1 for each axis: whether it is stored as in LPS."""
    x, y, z = (1 if letter in "LPS" else -1 for letter in code)
    return x, y, z
