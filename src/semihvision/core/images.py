"""Reading images: one function from an `ImageRef` to pixels, one reader per format.

Formats are added by adding a reader to `READERS`; DICOM and NIfTI will come in that way. A reader
returns stored values; rescaling and the display window are applied here, once, for all formats.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image, UnidentifiedImageError

from semihvision.core.errors import InputError
from semihvision.core.paths import inside
from semihvision.core.record import ImageRef

if TYPE_CHECKING:  # cards and `semihvision sources` need no numpy
    from numpy.typing import NDArray

MAX_PIXELS = 200_000_000
"""Larger claimed sizes are refused before decoding (a decompression bomb, or a wrong file)."""

_SIXTEEN_BIT_MODES = ("I;16", "I;16B", "I;16L", "I")


def _read_with_pillow(path: Path, image: ImageRef) -> "NDArray[Any]":
    """Stored values: (H, W) uint8 or int32 for grey, (H, W, 3) uint8 for colour."""
    import numpy as np

    with Image.open(path) as opened:
        _refuse_too_large(path, opened)
        if opened.mode in _SIXTEEN_BIT_MODES:
            return np.asarray(opened, dtype=np.int32)
        if opened.mode == "L":
            return np.asarray(opened)
        return np.asarray(_to_rgb(opened))


READERS: dict[str, Callable[[Path, ImageRef], "NDArray[Any]"]] = {
    "png": _read_with_pillow,
    "jpeg": _read_with_pillow,
}


def read_image(root: Path, image: ImageRef) -> Image.Image:
    """Reads one image for display and for the model.

    Args:
        root: Folder of the source.
        image: What to read. With a window, values are rescaled (slope, intercept) and the window
            [centre - width/2, centre + width/2] is mapped linearly to 0..255; values outside are
            saturated, which is what a display window means.

    Returns:
        RGB image, 8 bit, in the stored orientation.

    Raises:
        InputError: Missing, unreadable, of an unknown format, or 16 bit without a window.
    """
    import numpy as np

    path = inside(root, image.path)
    if image.format not in READERS:
        raise InputError(
            f"{image.path}: format {image.format!r} cannot be read yet; "
            f"readable: {', '.join(READERS)}"
        )
    if not path.is_file():
        raise InputError(f"{image.path}: no such image below {root}", kind="missing_image")
    try:
        stored = READERS[image.format](path, image)
    except (OSError, SyntaxError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise _unreadable(image.path, error) from error
    if image.window_center is not None and image.window_width is not None:
        physical = stored * image.rescale_slope + image.rescale_intercept
        low = image.window_center - image.window_width / 2
        scaled = np.clip((physical - low) / image.window_width, 0.0, 1.0) * 255.0
        stored = np.rint(scaled).astype(np.uint8)
    elif stored.dtype != np.uint8:
        raise InputError(f"{image.path}: 16-bit image without a display window in its record")
    return Image.fromarray(stored).convert("RGB")


def probe_image(root: Path, relative: str, *, image_id: str, **known: Any) -> ImageRef:
    """Opens an image file, checks that it decodes, and describes it.

    Args:
        root: Folder of the source.
        relative: Path relative to it, as it stands in the owner's file.
        image_id: Id in the record.
        **known: Further fields of `ImageRef` that the owner's tables give.

    Raises:
        InputError: Missing, unreadable, truncated, too large, or of a format without a reader.
    """
    path = inside(root, relative)
    if not path.is_file():
        raise InputError(f"{relative}: no such image below {root}", kind="missing_image")
    data = path.read_bytes()
    try:
        with Image.open(path) as opened:
            _refuse_too_large(path, opened)
            name = (opened.format or "").lower()
            width, height = opened.size
            opened.load()
    except (OSError, SyntaxError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise _unreadable(relative, error) from error
    if name not in READERS:
        raise InputError(
            f"{relative}: format {name!r}; readable: {', '.join(READERS)}", kind="image_format"
        )
    return ImageRef(
        image_id=image_id,
        path=relative,
        format=name,
        sha256=hashlib.sha256(data).hexdigest(),
        width=width,
        height=height,
        **known,
    )


def _unreadable(name: str, error: Exception) -> InputError:
    return InputError(f"{name}: unreadable image ({type(error).__name__})", kind="unreadable_image")


def _refuse_too_large(path: Path, opened: Image.Image) -> None:
    width, height = opened.size
    if width * height > MAX_PIXELS:
        raise InputError(
            f"{path.name}: {width} x {height} pixels; at most {MAX_PIXELS} are read",
            kind="image_too_large",
        )


def _to_rgb(opened: Image.Image) -> Image.Image:
    """RGB over black where there is transparency, which convert() alone would drop silently."""
    if opened.mode in ("RGBA", "LA", "PA") or "transparency" in opened.info:
        rgba = opened.convert("RGBA")
        canvas = Image.new("RGBA", rgba.size, (0, 0, 0, 255))
        return Image.alpha_composite(canvas, rgba).convert("RGB")
    return opened.convert("RGB")
