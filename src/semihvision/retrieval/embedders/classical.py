"""Image stand-in: gradient directions, grey levels and a thumbnail, in numpy.

It needs no download and no GPU. It sees layout, contrast and coarse shape; it knows no anatomy and
no disease, and it is neither shift- nor scale-invariant beyond a cell of 8 pixels.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from semihvision.retrieval.embedders import Vectors, unit_rows

USAGE = "classical"

_SIDE_PX = 64
_CELL_PX = 8
_CELLS = _SIDE_PX // _CELL_PX
_DIRECTIONS = 9
_GREY_LEVELS = 32
_THUMBNAIL_PX = 16


def create(argument: str) -> "ClassicalEmbedder":
    """The embedder; it has no variants."""
    del argument
    return ClassicalEmbedder()


class ClassicalEmbedder:
    """Three descriptors of the grey image padded to a square, each of length 1, side by side.

    Gradient directions: 9 unsigned directions in 8 x 8 cells, each 2 x 2 block of cells scaled to
    length 1. Grey levels: square root of a 32-bin histogram. Thumbnail: 16 x 16, its mean removed.

    Source: the first is HOG (Dalal and Triggs 2005) without interpolation between bins; the
    combination is our choice.
    """

    name = "classical"
    version = "1"
    dimension = (_CELLS - 1) ** 2 * 4 * _DIRECTIONS + _GREY_LEVELS + _THUMBNAIL_PX**2

    def embed_images(self, images: Sequence[Image.Image]) -> Vectors:
        """(n, 2052) float32; every image has a grey-level histogram, so no row is zero."""
        rows = [_descriptor(image) for image in images]
        return unit_rows(np.stack(rows) if rows else np.zeros((0, self.dimension)))


def _descriptor(image: Image.Image) -> NDArray[np.floating]:
    grey = _square(image.convert("L"))
    pixels = np.asarray(grey.resize((_SIDE_PX, _SIDE_PX), Image.Resampling.BOX), np.float32) / 255
    small = np.asarray(grey.resize((_THUMBNAIL_PX,) * 2, Image.Resampling.BOX), np.float32) / 255
    histogram, _ = np.histogram(pixels, bins=_GREY_LEVELS, range=(0.0, 1.0))
    parts = (_gradients(pixels), np.sqrt(histogram), (small - small.mean()).ravel())
    return np.concatenate([unit_rows(part[None])[0] for part in parts])


def _square(grey: Image.Image) -> Image.Image:
    """Padded with black, centred, so that shapes keep their aspect ratio."""
    side = max(grey.size)
    canvas = Image.new("L", (side, side))
    canvas.paste(grey, ((side - grey.width) // 2, (side - grey.height) // 2))
    return canvas


def _gradients(pixels: NDArray[np.floating]) -> NDArray[np.floating]:
    """Block-normalised histograms of gradient directions, flat."""
    down, right = np.gradient(pixels)
    strength = np.hypot(down, right)
    angle = np.arctan2(down, right) % np.pi
    direction = np.minimum((angle / np.pi * _DIRECTIONS).astype(np.int64), _DIRECTIONS - 1)
    row, column = np.indices(pixels.shape) // _CELL_PX
    bin_of_pixel = (row * _CELLS + column) * _DIRECTIONS + direction
    histogram = np.bincount(
        bin_of_pixel.ravel(), strength.ravel(), minlength=_CELLS * _CELLS * _DIRECTIONS
    ).reshape(_CELLS, _CELLS, _DIRECTIONS)
    corners = (histogram[:-1, :-1], histogram[:-1, 1:], histogram[1:, :-1], histogram[1:, 1:])
    blocks = np.concatenate(corners, axis=-1).reshape(-1, 4 * _DIRECTIONS)
    return unit_rows(blocks).ravel()
