"""PNG and JPEG: files to 8-bit pixels, by Pillow.

What an unusual file becomes (the content decides its format, never its name):

- palette, grey, CMYK: RGB as PIL converts it. JPEG stores CMYK inverted, as Adobe does, which PIL
  knows; a colour profile is not applied.
- transparency is dropped and the colours below it are shown, as the official code's `convert` does.
- EXIF orientation is not applied: the official code does not, and the boxes and sizes of owners'
  tables mean the stored pixels.
- 16-bit grey: shown through the window of its record; refused without one. 16-bit colour: refused.
- several frames (animated PNG): the frame that the record names (axis ``frame``); refused if none.
- more than `MAX_PIXELS`, empty, truncated, of another format or no image at all: refused.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image, UnidentifiedImageError

from semihvision.core.errors import InputError
from semihvision.core.imaging import MAX_PIXELS
from semihvision.core.imaging.refusals import muted
from semihvision.core.imaging.windowing import apply_window
from semihvision.core.reasons import in_words
from semihvision.core.record import ImageRef

if TYPE_CHECKING:  # cards and `semihvision sources` need no numpy
    from numpy.typing import NDArray

FORMATS = ("png", "jpeg")
_SIXTEEN_BIT_MODES = ("I;16", "I;16B", "I;16L", "I")


def read(path: Path, image: ImageRef) -> "NDArray[Any]":
    """(H, W) or (H, W, 3) uint8; with a window, rescaled and mapped through it.

    Raises:
        InputError: Unreadable, too large, or of 16 bits without a window.
    """
    import numpy as np

    stored = _stored_values(path, image)
    if image.window_center is not None and image.window_width is not None:
        physical = stored * image.rescale_slope + image.rescale_intercept
        return apply_window(physical, center=image.window_center, width=image.window_width)
    if stored.dtype != np.uint8:
        raise InputError(f"{image.path}: 16-bit image without a display window in its record")
    return stored


def _stored_values(path: Path, image: ImageRef) -> "NDArray[Any]":
    """(H, W) uint8 or int32 for grey, (H, W, 3) uint8 for colour."""
    import numpy as np

    with _opened(path, image.path) as opened:
        _choose_frame(opened, image.path, image.index if image.axis == "frame" else None)
        if opened.mode in _SIXTEEN_BIT_MODES:
            return np.asarray(opened, dtype=np.int32)
        if opened.mode == "L":
            return np.asarray(opened)
        if opened.mode == "P" and "transparency" in opened.info:
            # The same colours; straight to RGB, PIL warns that it drops the transparency.
            return np.asarray(opened.convert("RGBA").convert("RGB"))
        return np.asarray(opened.convert("RGB"))


def probe(
    path: Path, relative: str, known: dict[str, Any], *, decode: bool = True
) -> dict[str, Any]:
    """Format, width and height of an image file; `decode` checks its pixels, too.

    Raises:
        InputError: Unreadable, too large, of 16 bits a colour, or of several frames.
    """
    with _opened(path, relative) as opened:
        frame = known.get("index") if known.get("axis") == "frame" else None
        _choose_frame(opened, relative, frame)
        width, height = opened.size
        if decode:
            opened.load()
        return {"format": (opened.format or "").lower(), "width": width, "height": height}


@contextmanager
def _opened(path: Path, name: str) -> Iterator[Image.Image]:
    """An image of a format with a reader and of an allowed size; decoding errors are refusals."""
    try:
        with muted():  # Pillow warns of a size that is refused below
            image = Image.open(path)
        with image as opened:
            _refuse_by_header(opened, name)
            yield opened
    except InputError:
        raise
    except Image.DecompressionBombError as error:
        raise InputError(
            f"{name}: far more than the {MAX_PIXELS} pixels that are read; reduce or crop it",
            kind="image_too_large",
        ) from error
    except UnidentifiedImageError as error:
        raise InputError(
            f"{name}: unreadable image ({in_words(error)}); expected PNG, JPEG, DICOM "
            "(with its preamble) or NIfTI",
            kind="unreadable_image",
        ) from error
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError(
            f"{name}: unreadable image ({in_words(error)})", kind="unreadable_image"
        ) from error


def _refuse_by_header(opened: Image.Image, name: str) -> None:
    """Refuses what the header tells, before anything is decoded."""
    if (opened.format or "").lower() not in FORMATS:
        found = (opened.format or "").lower()
        raise InputError(
            f"{name}: format {found!r}; readable: {', '.join(FORMATS)}", kind="image_format"
        )
    width, height = opened.size
    if width * height > MAX_PIXELS:
        raise InputError(
            f"{name}: {width} x {height} pixels; at most {MAX_PIXELS} are read: reduce or crop it",
            kind="image_too_large",
        )
    # PIL would open 16-bit colour as 8-bit and drop the lower halves without a word.
    raw_modes = [str(tile[3]) for tile in getattr(opened, "tile", [])]
    if opened.mode not in _SIXTEEN_BIT_MODES and any(";16" in mode for mode in raw_modes):
        raise InputError(
            f"{name}: 16 bits a colour channel; expected 8: convert it", kind="image_depth"
        )


def _choose_frame(opened: Image.Image, name: str, frame: int | None) -> None:
    frames = getattr(opened, "n_frames", 1)
    if frames == 1 and frame is None:
        return
    if frame is None or frame >= frames:
        chosen = "no frame is chosen" if frame is None else f"frame {frame} is chosen"
        raise InputError(
            f"{name}: {frames} frames, and {chosen}; expected axis 'frame' and an index from 0 to "
            f"{frames - 1} in its record, or a file of one frame",
            kind="image_frames",
        )
    opened.seek(frame)
