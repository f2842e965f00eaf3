"""Images whose files stand inside a table: bytes in Parquet and Arrow, base64 in text with tabs.

An `ImageRef` of the format ``cell`` names the table by its `path`, the column by its `axis` and the
row by its `index`: counted from 0 in Parquet and Arrow, in a text the line on which the row ends.
"""

import base64
import binascii
import hashlib
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image, UnidentifiedImageError

from semihvision.core.errors import InputError
from semihvision.core.imaging import MAX_PIXELS
from semihvision.core.imaging.refusals import muted
from semihvision.core.reasons import in_words
from semihvision.core.record import ImageRef

if TYPE_CHECKING:
    from numpy.typing import NDArray

CELL = "cell"
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP")
"""What the files inside may be; of several frames the first is shown."""
COLUMNAR = (".parquet", ".arrow")
_EIGHT_BIT_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")
_ERRORS = (OSError, SyntaxError, ValueError, UnidentifiedImageError)


def read(path: Path, image: ImageRef) -> "NDArray[Any]":
    """(H, W, 3) uint8."""
    import numpy as np

    known = {"axis": image.axis, "index": image.index}
    decoded = _decoded(cell_bytes(path, known), _name(image.path, known))
    return np.asarray(decoded)


def probe(
    path: Path, relative: str, known: dict[str, Any], *, decode: bool = True
) -> dict[str, Any]:
    """Fields of `ImageRef` of an image in a table's cell; the hash is that of the cell's file.

    Args:
        path: The table.
        relative: What messages call it.
        known: ``axis`` and ``index``: column and row.
        decode: Whether the pixels are decoded, or the header alone is looked at.

    Raises:
        InputError: No image of a known format, of more than 8 bits a colour, or too large.
    """
    data, name = cell_bytes(path, known), _name(relative, known)
    width, height = (_decoded if decode else _opened)(data, name).size
    digest = hashlib.sha256(data).hexdigest()
    return {"format": CELL, "sha256": digest, "width": width, "height": height}


def cell_bytes(path: Path, known: dict[str, Any]) -> bytes:
    """The bytes of the image file in a cell.

    Raises:
        InputError: The cell holds none, or is not there.
    """
    column, row = known.get("axis"), known.get("index")
    if not column or row is None:
        raise InputError(
            f"{path.name}: a cell is named by its column (axis) and row (index); found "
            f"{column or 'no column'}, {'no row' if row is None else f'row {row}'}",
            kind="unreadable_image",
        )
    if path.suffix in COLUMNAR:
        from semihvision.core.columnar import cell

        value = cell(path, row, column)
        data = value.get("bytes") if isinstance(value, dict) else value
        if not isinstance(data, bytes):
            raise InputError("an image without its bytes", kind="unreadable_image")
        return data
    from semihvision.core.long_cells import long_cell

    return _decode_base64(long_cell(path, row, column))


def _name(relative: str, known: dict[str, Any]) -> str:
    return f"{relative}, {known['axis']} of row {known['index']}"


def _decode_base64(text: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise InputError("expected an image in base64", kind="unreadable_image") from None


def _decoded(data: bytes, name: str) -> Image.Image:
    opened = _opened(data, name)
    try:
        if opened.mode == "P" and "transparency" in opened.info:
            return opened.convert("RGBA").convert("RGB")
        return opened.convert("RGB")
    except _ERRORS as error:
        raise InputError(
            f"{name}: unreadable image ({in_words(error)})", kind="unreadable_image"
        ) from None


def _opened(data: bytes, name: str) -> Image.Image:
    """An image of an allowed kind by its header; nothing is decoded."""
    too_large = InputError(
        f"{name}: an image of more than {MAX_PIXELS} pixels", kind="image_too_large"
    )
    try:
        with muted():  # Pillow warns of a size that is refused below
            opened = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError:
        raise too_large from None
    except _ERRORS as error:
        raise InputError(
            f"{name}: unreadable image ({in_words(error)}); expected {', '.join(FORMATS)}",
            kind="unreadable_image",
        ) from None
    if opened.width * opened.height > MAX_PIXELS:
        raise too_large
    if opened.mode not in _EIGHT_BIT_MODES:
        raise InputError(
            f"{name}: an image of mode {opened.mode}; expected 8 bits", kind="image_depth"
        )
    return opened
