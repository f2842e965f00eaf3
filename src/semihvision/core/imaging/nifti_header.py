"""The header of a NIfTI-1 or NIfTI-2 file, packed or not: what it says about the voxels.

Text of the header (description, names of files) is not read.
"""

import io
import math
import zlib
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from semihvision.core.errors import InputError
from semihvision.core.imaging import MAX_PIXELS
from semihvision.core.imaging.orientation import axis_code, stored_axis
from semihvision.core.imaging.refusals import refusing

MAX_VOLUME_BYTES = 2**31
"""A packed file must be unpacked whole; one that claims more than 2 GiB is refused."""

_MOST_PACKED = 1040
"""Bytes that deflate makes of one byte at most; a larger claim cannot be true."""
_MILLIMETRES = {"meter": 1000.0, "micron": 0.001}
_GZIP = b"\x1f\x8b"


class VolumeHeader(NamedTuple):
    """What the header says about the voxels.

    Attributes:
        shape: Voxels on the three stored axes.
        volumes: Number of volumes (1 for a 3-D file).
        code: Axis code of the stored array.
        is_assumed: Whether the header states no orientation.
        spacing_mm: On the stored axes.
        slope: Stored value times this ...
        intercept: ... plus this is the value.
        display_range: ``cal_min`` and ``cal_max``, or None if they are equal.
        dtype: Of the stored values, with byte order.
        offset: Of the first value in the unpacked file.
        is_packed: Whether the file is packed by gzip.
    """

    shape: tuple[int, int, int]
    volumes: int
    code: str
    is_assumed: bool
    spacing_mm: tuple[float, float, float]
    slope: float
    intercept: float
    display_range: tuple[float, float] | None
    dtype: str
    offset: int
    is_packed: bool

    @property
    def num_bytes(self) -> int:
        """Size of all stored values."""
        return math.prod(self.shape) * self.volumes * int(self.dtype[2:])

    def num_slices(self, axis: str) -> int:
        """Slices of one volume along one of `SLICE_AXES`."""
        return self.shape[stored_axis(self.code, axis)]


def is_nifti(head: bytes) -> bool:
    """Whether a file's first 4096 bytes are those of a NIfTI-1 or NIfTI-2 file, packed or not."""
    start = _unpacked_start(head)
    return start[344:348] in (b"n+1\0", b"ni1\0") or start[4:8] in (b"n+2\0", b"ni2\0")


def volume_header(path: Path, name: str) -> VolumeHeader:
    """Reads and judges a header; the voxels stay on the disk.

    Raises:
        InputError: Damaged, not of real numbers, or of more voxels than the file can hold or we
            read.
    """
    with refusing(name):
        stat = path.stat()
        header = _parsed(path, stat.st_mtime_ns, stat.st_size)
        _refuse_by_size(header, stat.st_size, name)
    return header


@lru_cache(maxsize=64)
def _parsed(path: Path, _modified: int, _size: int) -> VolumeHeader:
    import nibabel
    import numpy as np

    nibabel.imageglobals.logger.disabled = True  # its messages quote the header
    with path.open("rb") as file:
        head = file.read(4096)
    start = _unpacked_start(head)
    kind: Any = nibabel.Nifti2Header if start[4:6] == b"n+" else nibabel.Nifti1Header
    header = kind.from_fileobj(io.BytesIO(start))
    shape = header.get_data_shape()
    dtype = header.get_data_dtype()
    if start[344:346] == b"ni" or start[4:6] == b"ni":
        raise _unsupported(path, "values in a file of their own (.hdr and .img)")
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        raise _unsupported(path, "values that are not real numbers of at most 64 bits")
    if not 2 <= len(shape) <= 7 or min(shape) < 1 or any(size > 1 for size in shape[4:]):
        raise _unsupported(path, "other than 2 to 4 dimensions")
    width, height, depth, volumes = (int(size) for size in (*shape, 1, 1)[:4])
    x_mm, y_mm, z_mm = (float(size) for size in (*header.get_zooms(), 1.0)[:3])
    slope, intercept = header.get_slope_inter()
    affine = header.get_best_affine()
    scale = _MILLIMETRES.get(header.get_xyzt_units()[0], 1.0)
    low, high = float(header["cal_min"]), float(header["cal_max"])
    return VolumeHeader(
        shape=(width, height, depth),
        volumes=volumes,
        code=axis_code(np.diag([-1, -1, 1]) @ affine[:3, :3]),
        is_assumed=not (header["sform_code"] > 0 or header["qform_code"] > 0),
        spacing_mm=(x_mm * scale, y_mm * scale, z_mm * scale),
        slope=1.0 if slope is None else float(slope),
        intercept=0.0 if intercept is None else float(intercept),
        display_range=(low, high) if math.isfinite(high - low) and low < high else None,
        dtype=dtype.str,
        offset=int(header.get_data_offset()),
        is_packed=head[:2] == _GZIP,
    )


def _unsupported(path: Path, found: str) -> InputError:
    return InputError(
        f"{path.name}: NIfTI with {found}; expected one volume, or several in one file, of real "
        "numbers: convert it",
        kind="image_format",
    )


def _unpacked_start(head: bytes) -> bytes:
    if head[:2] != _GZIP:
        return head
    try:
        return zlib.decompressobj(wbits=31).decompress(head, 4096)
    except zlib.error:
        return b""


def _refuse_by_size(header: VolumeHeader, file_bytes: int, name: str) -> None:
    claim = "x".join(str(size) for size in (*header.shape, header.volumes))
    largest = math.prod(header.shape) // min(header.shape)
    if largest > MAX_PIXELS or (header.is_packed and header.num_bytes > MAX_VOLUME_BYTES):
        raise InputError(
            f"{name}: {claim} voxels; at most {MAX_PIXELS} a slice and, packed, "
            f"{MAX_VOLUME_BYTES} bytes are read: reduce or unpack it",
            kind="image_too_large",
        )
    most = file_bytes * (_MOST_PACKED if header.is_packed else 1)
    if header.offset + header.num_bytes > most:
        raise InputError(
            f"{name}: {claim} voxels in its header, more than the file can hold; a damaged file",
            kind="unreadable_image",
        )
