"""Reading images: one function from an `ImageRef` to pixels, one reader per format.

Formats are added by adding a reader to `READERS`, which returns 8-bit pixels as they are shown. PNG
and JPEG are read here; DICOM and NIfTI in `semihvision.core.imaging`.

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

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image, UnidentifiedImageError

from semihvision.core.errors import InputError
from semihvision.core.imaging import MAX_PIXELS, dicom, nifti
from semihvision.core.imaging.nifti_header import is_nifti
from semihvision.core.imaging.windowing import apply_window
from semihvision.core.paths import inside
from semihvision.core.record import ImageRef

if TYPE_CHECKING:  # cards and `semihvision sources` need no numpy
    from numpy.typing import NDArray

_SIXTEEN_BIT_MODES = ("I;16", "I;16B", "I;16L", "I")
_BOMBS = (Image.DecompressionBombError, Image.DecompressionBombWarning)


def _read_with_pillow(path: Path, image: ImageRef) -> "NDArray[Any]":
    """(H, W) or (H, W, 3) uint8; with a window, rescaled and mapped through it."""
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


READERS: dict[str, Callable[[Path, ImageRef], "NDArray[Any]"]] = {
    "png": _read_with_pillow,
    "jpeg": _read_with_pillow,
    "dicom": dicom.read,
    "nifti": nifti.read,
}
_HEAD_BYTES = 4096
"""Enough of a file to tell its format: DICOM's preamble, or NIfTI's header, packed or not."""

Examiner = Callable[[Path, str, dict[str, Any]], dict[str, Any]]
"""Path, name for messages, known fields of `ImageRef` -> further fields; InputError refuses."""
_EXAMINER: ContextVar[Examiner | None] = ContextVar("examiner", default=None)


def read_image(root: Path, image: ImageRef) -> Image.Image:
    """Reads one image for display and for the model.

    Args:
        root: Folder of the source.
        image: What to read. With a window, values are rescaled (slope, intercept) and the window
            is mapped to 0..255: linearly from centre - width/2 to centre + width/2, or as a DICOM
            header says; values outside are saturated, which is what a display window means.

    Returns:
        RGB image, 8 bit. PNG and JPEG in the stored orientation, slices of DICOM and NIfTI in the
        radiological convention.

    Raises:
        InputError: Missing, unreadable, of an unknown format, too large, of 16 bits without a
            window, or of several frames with none chosen.
    """
    path = inside(root, image.path)
    if image.format not in READERS:
        raise InputError(
            f"{image.path}: format {image.format!r} cannot be read yet; "
            f"readable: {', '.join(READERS)}"
        )
    if not path.is_file():
        raise InputError(f"{image.path}: no such image below {root}", kind="missing_image")
    return Image.fromarray(READERS[image.format](path, image)).convert("RGB")


def probe_image(root: Path, relative: str, *, image_id: str, **known: Any) -> ImageRef:
    """Opens an image file, checks that it decodes, and describes it.

    Args:
        root: Folder of the source.
        relative: Path relative to it, as it stands in the owner's file.
        image_id: Id in the record.
        **known: Further fields of `ImageRef` that the owner's tables give.

    Raises:
        InputError: Missing, unreadable, truncated, too large, of a format without a reader, of 16
            bits a colour, or of several frames with none chosen.
    """
    path = inside(root, relative)
    if not path.is_file():
        raise InputError(f"{relative}: no such image below {root}", kind="missing_image")
    found = (_EXAMINER.get() or examine)(path, relative, known)
    return ImageRef(**{"image_id": image_id, "path": relative, **found, **known})


@contextmanager
def examining_by(examiner: Examiner) -> Iterator[None]:
    """Within the block `probe_image` asks this function, in place of `examine`, about each file."""
    token = _EXAMINER.set(examiner)
    try:
        yield
    finally:
        _EXAMINER.reset(token)


def examine(path: Path, relative: str, known: dict[str, Any]) -> dict[str, Any]:
    """Hashes and decodes an image file.

    Args:
        path: The file, which exists.
        relative: What messages call it.
        known: Fields of `ImageRef` that are known already.

    Returns:
        Further fields of `ImageRef`; those in `known` win.

    Raises:
        InputError: As `probe_image`.
    """
    head = _head(path, relative)
    stat = path.stat()
    digest = _digest(path, stat.st_mtime_ns, stat.st_size)
    if dicom.is_dicom(head):
        found = {"format": "dicom"} | dicom.probe(path, relative, known)
    elif is_nifti(head):
        found = {"format": "nifti"} | nifti.probe(path, relative, known)
    else:
        _refuse_gzip(head, relative)
        found = _probe_with_pillow(path, relative, known)
    return {"sha256": digest, **found}


def glance(path: Path, relative: str, known: dict[str, Any]) -> dict[str, Any]:
    """What the header of an image file tells: format, width and height; nothing is decoded.

    Args:
        path: The file, which exists.
        relative: What messages call it.
        known: Fields of `ImageRef` that are known already.

    Raises:
        InputError: The header alone shows that the file cannot be used.
    """
    head = _head(path, relative)
    if dicom.is_dicom(head):
        return {"format": "dicom"} | dicom.glance(path, relative, known)
    if is_nifti(head):
        return {"format": "nifti"} | nifti.glance(path, relative, known)
    _refuse_gzip(head, relative)
    return _probe_with_pillow(path, relative, known, decode=False)


def _head(path: Path, relative: str) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_HEAD_BYTES)
    except OSError as error:
        raise InputError(
            f"{relative}: cannot be read: {error.strerror}", kind="unreadable_image"
        ) from None


@lru_cache(maxsize=1)
def _digest(path: Path, _modified: int, _size: int) -> str:
    """Slices of one volume are asked for after each other."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _refuse_gzip(head: bytes, relative: str) -> None:
    if head[:2] == b"\x1f\x8b":
        raise InputError(
            f"{relative}: packed by gzip; expected NIfTI inside: unpack it", kind="image_format"
        )


def _probe_with_pillow(
    path: Path, relative: str, known: dict[str, Any], *, decode: bool = True
) -> dict[str, Any]:
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
        with Image.open(path) as opened:
            _refuse_by_header(opened, name)
            yield opened
    except InputError:
        raise
    except _BOMBS as error:
        raise InputError(
            f"{name}: far more than the {MAX_PIXELS} pixels that are read "
            f"({type(error).__name__}); reduce or crop it",
            kind="image_too_large",
        ) from error
    except UnidentifiedImageError as error:
        raise InputError(
            f"{name}: unreadable image ({type(error).__name__}); expected PNG, JPEG, DICOM "
            "(with its preamble) or NIfTI",
            kind="unreadable_image",
        ) from error
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError(
            f"{name}: unreadable image ({type(error).__name__})", kind="unreadable_image"
        ) from error


def _refuse_by_header(opened: Image.Image, name: str) -> None:
    """Refuses what the header tells, before anything is decoded."""
    if (opened.format or "").lower() not in READERS:
        found = (opened.format or "").lower()
        raise InputError(
            f"{name}: format {found!r}; readable: {', '.join(READERS)}", kind="image_format"
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
