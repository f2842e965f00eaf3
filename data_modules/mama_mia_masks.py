"""MAMA-MIA's expert segmentations: which slices they mark, and the boxes around what is marked."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from data_modules.volumes import header_of
from semihvision.core.errors import InputError
from semihvision.core.imaging.nifti import lps_volume
from semihvision.core.imaging.nifti_header import VolumeHeader
from semihvision.core.imaging.orientation import SLICE_AXES, slice_of, stored_axis
from semihvision.core.record import Box, ImageRef, Region

if TYPE_CHECKING:
    from numpy.typing import NDArray

FOLDER = "segmentations/expert"


class Mask(NamedTuple):
    """A segmentation: its file below the root; box and area in pixels on each marked slice."""

    path: str
    boxes: dict[int, Box]
    areas: dict[int, float]


def mask_of(root: Path, patient: str, axis: str, header: VolumeHeader) -> Mask | None:
    """The segmentation of a patient.

    Args:
        root: Folder of the source.
        patient: Its id.
        axis: Kind of the slices.
        header: Of the volume it belongs to.

    Returns:
        None if there is no such file.

    Raises:
        InputError: The file is unreadable, of another size than the volume, or marks nothing.
    """
    name = spelt(root / FOLDER, patient, (".nii.gz", ".nii"))
    if name is None:
        return None
    path = f"{FOLDER}/{name}"
    if sizes(header_of(root, path)) != sizes(header):
        raise InputError(f"{path}: another size than the images", kind="image_size")
    marked = lps_volume(root / path, path) > 0
    across = tuple(k for k in range(3) if k != stored_axis("LPS", axis))
    areas = {k: float(area) for k, area in enumerate(marked.sum(axis=across)) if area}
    if not areas:
        raise InputError(f"{path}: nothing is marked in it", kind="empty_segmentation")
    return Mask(path, {k: _box(slice_of(marked, "LPS", axis, k)) for k in areas}, areas)


def _box(marked: "NDArray[Any]") -> Box:
    """The box around what is marked on a shown slice."""
    rows, columns = (marked.max(axis=k).nonzero()[0] for k in (1, 0))
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


def regions(images: list[ImageRef], mask: Mask) -> Iterator[Region]:
    """One region for each image on whose slice something is marked."""
    for image in images:
        if image.index in mask.boxes:
            yield Region(
                region_id=f"tumour, {image.image_id}",
                image_id=image.image_id,
                box_xyxy=mask.boxes[image.index],
                slices=(min(mask.areas), max(mask.areas)),
                mask_path=mask.path,
                label="tumour",
                drawn_by="expert",
            )


def sizes(header: VolumeHeader) -> tuple[int, ...]:
    """Slices of each kind, however the volume is stored."""
    return tuple(header.num_slices(axis) for axis in SLICE_AXES)


def spelt(folder: Path, patient: str, suffixes: tuple[str, ...]) -> str | None:
    """The name that a patient's file or folder has: as in the sheet, or in lower case."""
    names = [name + suffix for name in (patient, patient.lower()) for suffix in suffixes]
    return next(
        (name for name in names if (folder / name).exists() or (folder / name).is_symlink()), None
    )
