"""Reading images: one function from an `ImageRef` to pixels, one reader per format.

Formats are added by adding a reader to `READERS`, which returns 8-bit pixels as they are shown. The
readers stand in `semihvision.core.imaging`.
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from semihvision.core.errors import InputError
from semihvision.core.hashing import hash_file
from semihvision.core.imaging import cells, dicom, nifti, pictures
from semihvision.core.imaging.nifti_header import is_nifti
from semihvision.core.paths import inside
from semihvision.core.record import ImageRef

if TYPE_CHECKING:  # cards and `semihvision sources` need no numpy
    from numpy.typing import NDArray

READERS: dict[str, Callable[[Path, ImageRef], "NDArray[Any]"]] = {
    "png": pictures.read,
    "jpeg": pictures.read,
    "dicom": dicom.read,
    "nifti": nifti.read,
    cells.CELL: cells.read,
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
    if known.get("format") == cells.CELL:
        return cells.probe(path, relative, known)
    head = _head(path, relative)
    stat = path.stat()
    digest = _digest(path, stat.st_mtime_ns, stat.st_size)
    if dicom.is_dicom(head):
        found = {"format": "dicom"} | dicom.probe(path, relative, known)
    elif is_nifti(head):
        found = {"format": "nifti"} | nifti.probe(path, relative, known)
    else:
        _refuse_gzip(head, relative)
        found = pictures.probe(path, relative, known)
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
    if known.get("format") == cells.CELL:
        return cells.probe(path, relative, known, decode=False)
    head = _head(path, relative)
    if dicom.is_dicom(head):
        return {"format": "dicom"} | dicom.glance(path, relative, known)
    if is_nifti(head):
        return {"format": "nifti"} | nifti.glance(path, relative, known)
    _refuse_gzip(head, relative)
    return pictures.probe(path, relative, known, decode=False)


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


def hash_image(path: Path, image: ImageRef) -> str:
    """SHA-256 of an image's file, also where that stands in a cell of a table.

    Raises:
        InputError: It cannot be read.
    """
    if image.format != cells.CELL:
        return hash_file(path)
    data = cells.cell_bytes(path, {"axis": image.axis, "index": image.index})
    return hashlib.sha256(data).hexdigest()
