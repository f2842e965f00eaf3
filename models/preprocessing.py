"""One image for every tower: pad to a square, resize, normalise.

Source: cambrian.md section 2 (``process_images``). Everything happens on PIL images, as in the
official code, so that pixels agree bit by bit.
"""

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from .configuration import TowerSpec

_FILTERS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
_EIGHT_BIT_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV", "LAB")


def to_rgb(image: Image.Image) -> Image.Image:
    """An RGB copy of an 8-bit image.

    Raises:
        ValueError: The pixels have more than 8 bits: which window to show is not for us to guess.
    """
    if image.mode not in _EIGHT_BIT_MODES:
        raise ValueError(
            f"image of mode {image.mode!r}; expected 8 bits per channel: apply a window first"
        )
    return image.convert("RGB")


def pad_to_square(image: Image.Image, colour: tuple[int, int, int]) -> Image.Image:
    """Centres an image on a square canvas; an odd pixel goes to the bottom or the right.

    Args:
        image: RGB image.
        colour: RGB 0 to 255 of the canvas.
    """
    width, height = image.size
    if width == height:
        return image
    side = max(width, height)
    square = Image.new("RGB", (side, side), colour)
    square.paste(image, ((side - width) // 2, (side - height) // 2))
    return square


def tower_pixels(image: Image.Image, spec: TowerSpec) -> Tensor:
    """Pixels of one image for one tower.

    Args:
        image: RGB image of any size.
        spec: The tower.

    Returns:
        (3, R, R) float32, normalised, R the tower's input side.
    """
    side = spec.input_side_px
    square = pad_to_square(image, spec.padding_colour)
    resized = square.resize((side, side), _FILTERS[spec.interpolation])
    scaled = torch.from_numpy(np.array(resized)).permute(2, 0, 1).float() / 255
    mean = torch.tensor(spec.image_mean)[:, None, None]
    std = torch.tensor(spec.image_std)[:, None, None]
    return (scaled - mean) / std
