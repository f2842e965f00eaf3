"""Lesions in LLD-MMRI's `Annotation.json`: the class, and the box on every slice of one volume."""

import math
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from data_modules.lld_cutouts import CLASSES, INACCESSIBLE
from data_modules.volumes import boxes_on_slices
from semihvision.core.errors import InputError
from semihvision.core.imaging.nifti_header import VolumeHeader
from semihvision.core.record import Box

_SLICE = ("slice_idx", "slice_idx")
_CORNERS = ("x_min", "y_min", "x_max", "y_max")


class Lesion(NamedTuple):
    """A lesion on one volume: its box on every slice that has one."""

    lesion_id: str
    category: str
    boxes: dict[int, Box]


def lesions_of(row: dict[str, Any], header: VolumeHeader) -> Iterator[Lesion]:
    """Yields the lesions that a series' row names.

    Raises:
        InputError: The row is not of the owners' form, or a box is outside of the volume.
    """
    annotation = row.get("annotation")
    lesions = annotation.get("lesion") if isinstance(annotation, dict) else None
    if not isinstance(lesions, dict):
        raise InputError("annotation: expected an object with the key lesion", kind="invalid_row")
    for lesion_id, lesion in lesions.items():
        if not re.fullmatch("[0-9]{1,3}", lesion_id) or not isinstance(lesion, dict):
            raise InputError("lesion: expected objects by number", kind="invalid_row")
        yield Lesion(lesion_id, _category(lesion.get("category")), _boxes(lesion, header))


def _category(value: Any) -> str:
    """A class by its name, in any capitals, or by its number."""
    if str(value).lower() in ("-1", INACCESSIBLE.lower()):
        return ""
    for number, name in enumerate(CLASSES):
        if str(value).lower() in (str(number), name.lower()):
            return name
    raise InputError(
        f"category: expected one of {', '.join(CLASSES)}, or its number", kind="invalid_row"
    )


def _boxes(lesion: dict[str, Any], header: VolumeHeader) -> dict[int, Box]:
    """The box on every slice; of two boxes on one slice, the one around both."""
    bbox = lesion.get("bbox")
    if not isinstance(bbox, dict) or not (bbox.get("2D_box") or bbox.get("3D_box")):
        raise InputError("bbox: expected an object with 3D_box or 2D_box", kind="invalid_row")
    flat = bbox.get("2D_box")
    if flat and not isinstance(flat, list):
        raise InputError("2D_box: expected a list", kind="invalid_row")
    boxes: dict[int, Box] = {}
    for one in flat or [bbox["3D_box"]]:
        x_min, y_min, x_max, y_max = (_number(one, name) for name in _CORNERS)
        first, last = (_number(one, n) for n in (_SLICE if flat else ("z_min", "z_max")))
        slices, box = boxes_on_slices(header, (x_min, y_min, first), (x_max, y_max, last + 1))
        for index in slices:
            boxes[index] = _around(boxes.get(index, box), box)
    return boxes


def _around(one: Box, other: Box) -> Box:
    return (*map(min, one[:2], other[:2]), *map(max, one[2:], other[2:]))  # type: ignore[return-value]


def _number(box: Any, name: str) -> float:
    """A coordinate; the owners' script takes texts of digits, too."""
    try:
        value = float(box[name])
    except (KeyError, TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value) or (name in ("z_min", "z_max", "slice_idx") and value % 1):
        raise InputError(f"{name}: expected a number; slices are whole", kind="invalid_row")
    return value
