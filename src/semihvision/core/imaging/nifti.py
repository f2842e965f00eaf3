"""NIfTI volumes: one slice of a file to 8-bit pixels in the radiological convention.

The record names the slice: axis ``axial``, ``coronal`` or ``sagittal``, and an index that counts to
the head, to the back or to the left, however the file is stored; in a file of several volumes
(time, phase) the slices of the second follow those of the first. `probe` decides what is a choice
and writes it into the `ImageRef`; `read` repeats it:

- window: ``cal_min`` and ``cal_max`` of the header where they differ, else from the values of the
  whole volume (`windowing.PERCENTILES` of an even sample), so that all its slices look alike.
- values that are not finite take the smallest finite value of the slice, and are counted.
- width, height and spacing (across, down, between slices) are those of the shown slice; a slice
  whose values are all equal is refused.
- a header without an orientation (both codes 0) is read as counting to the left, front and head,
  as nibabel does; `ImageRef.reading` says so.

Plain files are read in place; packed ones are unpacked once a process (`volume_cache`). Text of the
header (description, names of files) is not read.
"""

import math
import zlib
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from semihvision.core.errors import InputError
from semihvision.core.imaging import MAX_PIXELS
from semihvision.core.imaging.orientation import SLICE_AXES, axis_code, slice_of, stored_axis
from semihvision.core.imaging.refusals import constant, refusing
from semihvision.core.imaging.volume_cache import UNPACKED
from semihvision.core.imaging.windowing import apply_window, window_of_values
from semihvision.core.record import Attribute, ImageRef

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_VOLUME_BYTES = 2**31
"""A packed file must be unpacked whole; one that claims more than 2 GiB is refused."""

_MOST_PACKED = 1040
"""Bytes that deflate makes of one byte at most; a larger claim cannot be true."""
_SAMPLE = 1_000_000
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


def probe(path: Path, name: str, known: dict[str, Any]) -> dict[str, Any]:
    """Checks that a slice can be read and describes how it is shown.

    Args:
        path: The file.
        name: What messages call it.
        known: Fields of `ImageRef` that are known already: ``axis`` and ``index`` choose the slice,
            a window there takes the place of the one that would be chosen.

    Returns:
        Further fields of `ImageRef`; those in `known` win.

    Raises:
        InputError: Damaged, too large, not of real numbers, no slice chosen, or a constant slice.
    """
    header = volume_header(path, name)
    with refusing(name):
        axis, volume, index = _chosen(header, name, known.get("axis"), known.get("index"))
        values, replaced = _values(path, name, header, axis, volume, index)
        if values.min() == values.max():
            raise constant(name)
        window, source = _window(path, name, header, volume, known)
        slices = header.num_slices(axis)
        reading = {"window": source, "slice": f"{index + 1} of {slices}"}
        if header.volumes > 1:
            reading["volume"] = f"{volume + 1} of {header.volumes}"
        if replaced:
            reading["not_finite"] = f"{replaced} values, shown as the smallest"
        if header.is_assumed:
            reading["orientation"] = "assumed; the header states none"
        return window | {
            "rescale_slope": header.slope,
            "rescale_intercept": header.intercept,
            "width": values.shape[1],
            "height": values.shape[0],
            "orientation": header.code,
            "spacing_mm": _shown_spacing(header, axis),
            "reading": tuple(Attribute(name=k, value=v) for k, v in reading.items()),
        }


def read(path: Path, image: ImageRef) -> "NDArray[Any]":
    """One slice as it is shown.

    Args:
        path: The file.
        image: As `probe` described it.

    Returns:
        (H, W) uint8.

    Raises:
        InputError: As `probe`, or the record states no window.
    """
    header = volume_header(path, image.path)
    if image.window_center is None or image.window_width is None:
        raise InputError(f"{image.path}: a slice without a display window in its record")
    with refusing(image.path):
        axis, volume, index = _chosen(header, image.path, image.axis, image.index)
        header = header._replace(slope=image.rescale_slope, intercept=image.rescale_intercept)
        values, _ = _values(path, image.path, header, axis, volume, index)
        return apply_window(values, center=image.window_center, width=image.window_width)


def lps_volume(path: Path, name: str, *, volume: int = 0) -> "NDArray[Any]":
    """A whole volume as [left, back, head], e.g. to choose slices by a segmentation.

    Args:
        path: The file.
        name: What messages call it.
        volume: Which of several, from 0.

    Returns:
        (X, Y, Z) values; of the stored type where the header states no scale, else float64.
    """
    import numpy as np

    header = volume_header(path, name)
    with refusing(name):
        stored = _stored(path, name, header)[..., volume]
        if (header.slope, header.intercept) != (1.0, 0.0):
            stored = stored * header.slope + header.intercept
        order = [stored_axis(header.code, axis) for axis in ("sagittal", "coronal", "axial")]
        flips = tuple(slice(None, None, 1 if header.code[k] in "LPS" else -1) for k in order)
        return np.asarray(stored).transpose(order)[flips]


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
    import io

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


def _chosen(
    header: VolumeHeader, name: str, axis: str | None, index: int | None
) -> tuple[str, int, int]:
    """Axis, volume and slice of the volume."""
    if axis not in SLICE_AXES or index is None:
        raise InputError(
            f"{name}: a volume, and no slice is chosen; expected axis {', '.join(SLICE_AXES)} and "
            "an index in its record",
            kind="image_frames",
        )
    slices = header.num_slices(axis)
    if not 0 <= index < slices * header.volumes:
        raise InputError(
            f"{name}: slice {index} is chosen; expected 0 to {slices * header.volumes - 1} "
            f"({axis}; {slices} a volume)",
            kind="image_frames",
        )
    return axis, index // slices, index % slices


def _values(
    path: Path, name: str, header: VolumeHeader, axis: str, volume: int, index: int
) -> tuple["NDArray[Any]", int]:
    """The values of one slice, and how many were not finite and are replaced."""
    import numpy as np

    stored = _stored(path, name, header)[..., volume]
    shown = slice_of(stored, header.code, axis, index)
    values = shown.astype(np.float64) * header.slope + header.intercept
    finite = np.isfinite(values)
    if not finite.any():
        raise constant(name)
    values[~finite] = values[finite].min()
    return values, int((~finite).sum())


def _stored(path: Path, name: str, header: VolumeHeader) -> "NDArray[Any]":
    """(I, J, K, volumes) stored values: mapped from a plain file, unpacked from a packed one."""
    import numpy as np

    shape = (*header.shape, header.volumes)
    if not header.is_packed:
        return np.memmap(
            path, mode="r", dtype=header.dtype, offset=header.offset, shape=shape, order="F"
        )
    data = UNPACKED.get(path, skip=header.offset, num_bytes=header.num_bytes)
    if len(data) < header.num_bytes:
        raise InputError(
            f"{name}: ends after {len(data)} of {header.num_bytes} bytes of values; a damaged file",
            kind="unreadable_image",
        )
    return np.frombuffer(data, dtype=header.dtype).reshape(shape, order="F")


def _window(
    path: Path, name: str, header: VolumeHeader, volume: int, known: dict[str, Any]
) -> tuple[dict[str, float], str]:
    if known.get("window_center") is not None:
        return {}, "given"
    if header.display_range is not None:
        low, high = header.display_range
        return _as_fields((low + high) / 2, high - low), "header, cal_min and cal_max"
    stat = path.stat()
    found = _sampled_window(path, name, header, volume, stat.st_mtime_ns)
    if found is None:
        raise constant(name)
    return _as_fields(*found), "percentiles of the volume"


@lru_cache(maxsize=64)
def _sampled_window(
    path: Path, name: str, header: VolumeHeader, volume: int, _modified: int
) -> tuple[float, float] | None:
    import numpy as np

    step = max(1, math.ceil((math.prod(header.shape) / _SAMPLE) ** (1 / 3)))
    sample = _stored(path, name, header)[::step, ::step, ::step, volume].astype(np.float64)
    values = sample[np.isfinite(sample)] * header.slope + header.intercept
    return window_of_values(values) if values.size else None


def _as_fields(center: float, width: float) -> dict[str, float]:
    return {"window_center": center, "window_width": width}


def _shown_spacing(header: VolumeHeader, axis: str) -> tuple[float, ...]:
    by_axis = {kind: header.spacing_mm[stored_axis(header.code, kind)] for kind in SLICE_AXES}
    across = "coronal" if axis == "sagittal" else "sagittal"
    down = "coronal" if axis == "axial" else "axial"
    return by_axis[across], by_axis[down], by_axis[axis]
