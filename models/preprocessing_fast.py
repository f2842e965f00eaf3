"""Preprocessing as published but for the resize, which runs on 8-bit tensors: several times faster.

The image is copied once into one square, whose border is painted anew where two towers want another
colour, and every tower is resized from it at full size by PyTorch's antialiased 8-bit kernels. They
do what PIL does (rows first, the same filter) with weights of 16 instead of 22 bits.

Deviation from `models.preprocessing_reference` at 384, 336, 378 and 1024 px, in 8-bit grey levels,
square, wide and tall (``python benchmarks/preprocessing.py FOLDER``):

- largest: 2, over everything drawn, 60 images of VQA-RAD, and 11,000 random images of random size
  at three sides each;
- mean: below 0.004 over photograph-like textures, phantoms, noise and VQA-RAD; up to 0.11 over
  checkerboards of 3 px cells.

On CPUs without AVX2 PyTorch uses other kernels, on which neither was measured.

Tried and not kept: columns before rows for tall images, which spares the padding, is off by up to
25 levels where the filter overshoots, since the pass between is clipped to 8 bits; the small towers
from the 1024 px image spares 6 of 31 ms, but is off by up to 39 levels on radiographs (mean 0.13);
padding in bands as the reference does, the same bits in little memory, makes resizing a third
slower; four channels instead of three, no faster; normalising by look-up table, slower;
``torchvision.io.decode_jpeg``, as fast as PIL.
"""

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from .configuration import TowerSpec


def fast_levels(image: Image.Image, specs: tuple[TowerSpec, ...]) -> list[Tensor]:
    """One image in every tower's size, before normalisation.

    Args:
        image: RGB image of any size. A square of its longer side is held, 3 bytes a pixel: 12 MB at
            2000 px, 1.2 GB at the longest allowed side, where the reference path takes 0.15 GB.
        specs: T towers.

    Returns:
        T tensors (3, R_t, R_t) uint8.
    """
    width, height = image.size
    full = max(width, height)
    left, top = (full - width) // 2, (full - height) // 2
    square = np.empty((full, full, 3), dtype=np.uint8)
    square[top : top + height, left : left + width] = np.asarray(image)
    border = (
        square[:top],
        square[top + height :],
        square[:, :left],
        square[:, left + width :],
    )
    batch = torch.from_numpy(square).permute(2, 0, 1)[None]
    levels = []
    for spec in specs:
        # Row by row: NumPy would write three bytes at a time otherwise, 3 ms at 2000 x 1500.
        row = np.full((full, 3), spec.padding_colour, dtype=np.uint8)
        for part in border:
            part[:] = row[: part.shape[1]]
        size = (spec.input_side_px, spec.input_side_px)
        levels.append(F.interpolate(batch, size, mode=spec.interpolation, antialias=True)[0])
    return levels
