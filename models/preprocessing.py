"""One decoded image for every tower: which images are taken, and by which of two paths.

``reference`` follows the published steps on PIL bit by bit. It is the default, because official
weights, and every number compared with a published one, were made with it. ``fast`` differs from
it by at most 2 of 255 grey levels (see `models.preprocessing_fast`) and is several times faster:
use it where preparing images holds training up. The choice is a setting of the processor, stored in
the model folder (``processing.json``): a model is evaluated on what it was trained on.
"""

from collections.abc import Callable
from typing import Literal, cast

from PIL import Image
from torch import Tensor

from semihvision.core.errors import InputError
from semihvision.core.reasons import in_words

from .configuration import TowerSpec
from .padding import kept_grid
from .preprocessing_fast import fast_levels
from .preprocessing_reference import normalised, reference_levels

Preprocessing = Literal["reference", "fast"]

LEVELS: dict[str, Callable[[Image.Image, tuple[TowerSpec, ...]], list[Tensor]]] = {
    "reference": reference_levels,
    "fast": fast_levels,
}

MAX_SIDE_PX = 20_000
"""Longest allowed side: the work grows with its square, whatever the other side."""

_EIGHT_BIT_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV", "LAB")


def checked_path(name: str) -> Preprocessing:
    """The name of a path of preprocessing.

    Raises:
        InputError: There is none of this name.
    """
    if name not in LEVELS:
        raise InputError(f"preprocessing is {name!r}; expected one of {', '.join(LEVELS)}")
    return cast(Preprocessing, name)


def check_size(width: int, height: int, grid_side: int) -> None:
    """Refuses images that no tower can use.

    Args:
        width: Pixels; from 1 on, if the other side is not too long for it.
        height: Pixels, likewise.
        grid_side: Side of the image grid in tokens.

    Raises:
        InputError: No pixels, a side above `MAX_SIDE_PX`, or so thin that no token would be left.
    """
    found = f"image of {width}x{height} pixels"
    if min(width, height) < 1:
        raise InputError(f"{found}: it is empty; expected at least 1x1")
    if max(width, height) > MAX_SIDE_PX:
        raise InputError(f"{found}: expected at most {MAX_SIDE_PX} a side; crop or reduce it")
    if 0 in kept_grid(width, height, grid_side):
        raise InputError(
            f"{found} covers no cell of the {grid_side}x{grid_side} image grid; expected an aspect "
            f"ratio of at most {grid_side}: crop it"
        )


def to_rgb(image: Image.Image) -> Image.Image:
    """The RGB pixels of an 8-bit image, in the stored orientation.

    As in the official code, PIL converts: an alpha channel is dropped (the colours below it are
    shown), CMYK is converted without a colour profile, and an EXIF orientation is not applied.

    Args:
        image: Of one frame.

    Raises:
        InputError: More than 8 bits a channel (which window to show is not for us to guess),
            several frames (nor which frame), or pixels that cannot be decoded.
    """
    if image.mode not in _EIGHT_BIT_MODES:
        raise InputError(
            f"image of mode {image.mode!r}; expected 8 bits per channel: apply a window first"
        )
    frames = getattr(image, "n_frames", 1)
    if frames > 1:
        raise InputError(f"image of {frames} frames; expected one: pass a copy() of that frame")
    try:
        if image.mode == "P" and "transparency" in image.info:
            # The same colours; straight to RGB, PIL warns that it drops the transparency.
            return image.convert("RGBA").convert("RGB")
        return image.convert("RGB")
    except (OSError, SyntaxError) as error:
        raise InputError(f"image that cannot be decoded ({in_words(error)})") from None


def tower_pixels(
    image: Image.Image, specs: tuple[TowerSpec, ...], path: Preprocessing = "reference"
) -> tuple[Tensor, ...]:
    """Pixels of one image for every tower.

    Args:
        image: RGB image of a size that `check_size` takes.
        specs: T towers.
        path: ``reference`` or ``fast``.

    Returns:
        T tensors (3, R_t, R_t) float32, normalised.
    """
    levels = LEVELS[path](image, specs)
    return tuple(normalised(one, spec) for one, spec in zip(levels, specs, strict=True))
