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

Plain files are read in place; packed ones are unpacked once a process (`volume_cache`).
"""

import math
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from semihvision.core.errors import InputError
from semihvision.core.imaging.nifti_header import VolumeHeader, volume_header
from semihvision.core.imaging.orientation import SLICE_AXES, slice_of, stored_axis
from semihvision.core.imaging.refusals import constant, refusing
from semihvision.core.imaging.volume_cache import UNPACKED
from semihvision.core.imaging.windowing import apply_window, window_of_values
from semihvision.core.record import Attribute, ImageRef

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SAMPLE = 1_000_000


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


def glance(path: Path, name: str, known: dict[str, Any]) -> dict[str, Any]:
    """Width and height of a slice, by the header alone; arguments and errors as for `probe`."""
    import numpy as np

    header = volume_header(path, name)
    with refusing(name):
        axis, _, index = _chosen(header, name, known.get("axis"), known.get("index"))
        empty = np.broadcast_to(np.uint8(0), header.shape)
        height, width = slice_of(empty, header.code, axis, index).shape
        return {"width": width, "height": height}


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
