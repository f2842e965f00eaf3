"""Volumes as Records see them: which slices are taken, and boxes of the stored array on them.

A volume gives several images, one a slice. Which ones is the same question for every source:

- where something is marked, its slices, at most `most` of them, evenly spaced; or, by the option
  `slices: largest`, the one slice on which the marked area is largest (the middle one of several);
- where nothing is marked, `most` evenly spaced slices of the whole volume (or its middle one).

Unless the owner says how slices lie, they lie along the volume's last stored axis, along which
scanners store them. They are numbered as `semihvision.core.imaging.nifti` numbers them, however the
file is stored.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from semihvision.core.errors import InputError, RefusalLog
from semihvision.core.images import probe_image
from semihvision.core.imaging.nifti_header import VolumeHeader, volume_header
from semihvision.core.imaging.orientation import SLICE_AXES, shown_box
from semihvision.core.paths import inside
from semihvision.core.record import Box, ImageRef

SELECTIONS = ("marked", "largest")
MOST = 10
"""Slices of one volume at most; about what the authors of SemiHVision took (every n//10th)."""


class Selection(NamedTuple):
    """How slices are chosen; see the module's docstring."""

    slices: str = "marked"
    most: int = MOST

    def checked(self) -> "Selection":
        """The same.

        Raises:
            InputError: An unknown selection, or less than one slice.
        """
        if self.slices not in SELECTIONS or self.most < 1:
            raise InputError(
                f"slices {self.slices}, most {self.most}: expected one of "
                f"{', '.join(SELECTIONS)}, and at least 1"
            )
        return self

    def of_marked(self, areas: Mapping[int, float]) -> list[int]:
        """Chosen slices where something is marked.

        Args:
            areas: Slice -> marked area, in any unit; not empty.
        """
        if self.slices == "largest":
            largest = [index for index in sorted(areas) if areas[index] == max(areas.values())]
            return [largest[(len(largest) - 1) // 2]]
        return evenly(sorted(areas), self.most)

    def of_volume(self, num_slices: int) -> list[int]:
        """Chosen slices of a volume in which nothing is marked."""
        return evenly(range(num_slices), 1 if self.slices == "largest" else self.most)


def evenly(indices: Sequence[int], most: int) -> list[int]:
    """At most `most` of the indices: all, or evenly spaced ones from the first to the last."""
    if len(indices) <= most:
        return list(indices)
    if most == 1:
        return [indices[(len(indices) - 1) // 2]]
    step = (len(indices) - 1) / (most - 1)
    return [indices[round(step * number)] for number in range(most)]


def header_of(root: Path, path: str) -> VolumeHeader:
    """The header of a volume below the root.

    Raises:
        InputError: Outside of the root, missing, or no volume that can be read.
    """
    file = inside(root, path)
    if not file.is_file():
        raise InputError(f"{path}: no such image below {root}", kind="missing_image")
    return volume_header(file, path)


def slice_axis(header: VolumeHeader) -> str:
    """The kind of slices that the last stored axis counts."""
    return next(axis for axis, letters in SLICE_AXES.items() if header.code[2] in letters)


def boxes_on_slices(
    header: VolumeHeader, low: Sequence[float], high: Sequence[float]
) -> tuple[range, Box]:
    """A box of the stored array as slices and a box in each of them.

    Args:
        header: Of the volume.
        low: Lower corner in voxels on the three stored axes, from 0.
        high: Upper corner, exclusive.

    Raises:
        InputError: The box is empty or reaches out of the volume.
    """
    if not all(
        0 <= first < end <= size for first, end, size in zip(low, high, header.shape, strict=True)
    ):
        raise InputError(
            "a box that is empty or reaches out of its volume of "
            f"{' x '.join(map(str, header.shape))} voxels",
            kind="invalid_box",
        )
    (first, last), box = shown_box(
        tuple(low), tuple(high), shape=header.shape, code=header.code, axis=slice_axis(header)
    )
    return range(first, last + 1), box


def images_of(
    root: Path,
    path: str,
    indices: Sequence[int],
    *,
    item: str,
    file: str,
    refused: RefusalLog,
    axis: str = "",
    **known: Any,
) -> Iterator[ImageRef]:
    """The chosen slices of a volume; a slice of one value everywhere is refused by itself.

    Args:
        root: Folder of the source.
        path: The volume, below it.
        indices: Slices.
        item: What the volume is called in refused items.
        file: File that names it.
        refused: Gets the constant slices.
        axis: Kind of the slices; empty for that of `slice_axis`.
        **known: Further fields of `ImageRef`; `image_id` is their common beginning.

    Raises:
        InputError: The volume cannot be read.
    """
    axis = axis or slice_axis(header_of(root, path))
    name = known.pop("image_id")
    for index in indices:
        image_id = f"{name}, slice {index}"
        try:
            yield probe_image(root, path, image_id=image_id, axis=axis, index=index, **known)
        except InputError as error:
            if error.kind != "constant_image":
                raise
            refused.add(f"{item}, slice {index}", reason=str(error), kind=error.kind, file=file)
