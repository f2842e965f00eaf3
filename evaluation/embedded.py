"""Pictures whose files stand inside a table: in a cell of bytes or of base64 text."""

import base64
import binascii
import hashlib
import io
from collections.abc import Callable

from PIL import Image, UnidentifiedImageError

from evaluation.questions import Picture
from semihvision.core.errors import InputError
from semihvision.core.imaging import MAX_PIXELS

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP")
_EIGHT_BIT_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")
_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    UnidentifiedImageError,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)


def embedded_picture(data: bytes, read: Callable[[], bytes]) -> Picture:
    """A picture from the bytes of an image file.

    Args:
        data: The file, to look at its header; not kept.
        read: Gives the same bytes again, when the picture is asked about.

    Raises:
        InputError: No image of a known format, of more than 8 bits a colour, or too large.
    """
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as opened:
            size, mode = opened.size, opened.mode
    except _ERRORS as error:
        raise InputError(
            f"unreadable image ({type(error).__name__}); expected {', '.join(FORMATS)}",
            kind="unreadable_image",
        ) from None
    if size[0] * size[1] > MAX_PIXELS:
        raise InputError(f"an image of more than {MAX_PIXELS} pixels", kind="image_too_large")
    if mode not in _EIGHT_BIT_MODES:
        raise InputError(f"an image of mode {mode}; expected 8 bits", kind="image_depth")
    return Picture(key=hashlib.sha256(data).hexdigest(), size_wh=size, read=lambda: _decode(read()))


def decode_base64(text: str) -> bytes:
    """Bytes of a base64 cell.

    Raises:
        InputError: It is none; the cell is not quoted.
    """
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise InputError("expected an image in base64", kind="unreadable_image") from None


def _decode(data: bytes) -> Image.Image:
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as opened:
            return opened.convert("RGB")
    except _ERRORS as error:
        raise InputError(
            f"unreadable image ({type(error).__name__})", kind="unreadable_image"
        ) from None
