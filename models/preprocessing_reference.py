"""Preprocessing as published, step by step on PIL images: what official weights were trained on.

Source: cambrian.md section 2 (``process_images`` and the training set of
cambrian-mllm/cambrian@539ffc3): pad to a square in the tower's colour, resize with PIL, divide by
255, normalise. Bit-equal to padding at full size, which is not done here: see `padded_resize`.
"""

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from .configuration import TowerSpec

_FILTERS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
_BAND_ROWS = 512
"""Rows padded at a time: a few megabytes at usual sizes, 40 MB at the largest allowed."""


def padded_resize(
    image: Image.Image, colour: tuple[int, int, int], side: int, resample: Image.Resampling
) -> Image.Image:
    """Pads an image to a square and resizes the square; an odd pixel goes to the bottom or right.

    PIL resizes rows first, each by itself, then columns. So the first pass runs over bands of the
    image's own rows, and rows of padding are added after it: the same bits as from the whole padded
    square, which at 20,000 x 1,000 pixels would take 1.6 GB.

    Args:
        image: RGB image.
        colour: RGB 0 to 255 of the padding.
        side: Side R of the result in pixels.
        resample: PIL's filter.

    Returns:
        R x R RGB image.
    """
    width, height = image.size
    full = max(width, height)
    left, top = (full - width) // 2, (full - height) // 2
    narrowed = Image.new("RGB", (side, full), colour)
    for row in range(0, height, _BAND_ROWS):
        rows = min(_BAND_ROWS, height - row)
        band = Image.new("RGB", (full, rows), colour)
        band.paste(image.crop((0, row, width, row + rows)), (left, 0))
        narrowed.paste(band.resize((side, rows), resample), (0, top + row))
    return narrowed.resize((side, side), resample)


def normalised(levels: Tensor, spec: TowerSpec) -> Tensor:
    """Grey levels to what a tower reads.

    Args:
        levels: (3, R, R) uint8, in any memory layout.
        spec: The tower, which gives mean and standard deviation.

    Returns:
        (3, R, R) float32, contiguous: (levels / 255 - mean) / std.
    """
    pixels = torch.empty(levels.shape).copy_(levels)
    mean = torch.tensor(spec.image_mean)[:, None, None]
    std = torch.tensor(spec.image_std)[:, None, None]
    return pixels.div_(255).sub_(mean).div_(std)


def reference_levels(image: Image.Image, specs: tuple[TowerSpec, ...]) -> list[Tensor]:
    """One image in every tower's size, before normalisation.

    Args:
        image: RGB image of any size.
        specs: T towers.

    Returns:
        T tensors (3, R_t, R_t) uint8.
    """
    resized = (
        padded_resize(image, spec.padding_colour, spec.input_side_px, _FILTERS[spec.interpolation])
        for spec in specs
    )
    return [torch.from_numpy(np.array(image)).permute(2, 0, 1) for image in resized]
