"""LLD-MMRI's whole volumes and `Annotation.json`: boxes and classes of lesions on every phase."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from data_modules.lld_cutouts import PHASES, splits
from data_modules.lld_lesions import Lesion, lesions_of
from data_modules.reading import licence_of, valid_record
from data_modules.volumes import Selection, header_of, images_of, slice_axis
from semihvision.core.card import Card
from semihvision.core.errors import InputError, RefusalLog
from semihvision.core.json_files import read_text
from semihvision.core.reasons import in_words
from semihvision.core.record import ImageRef, Label, Record, Region

FILE = "labels/Annotation.json"

_ID = re.compile(r"[\w.-]{1,100}")


class Series(NamedTuple):
    """A volume with its chosen slices and its lesions."""

    phase: str
    images: tuple[ImageRef, ...]
    lesions: tuple[Lesion, ...]


class _Object(dict[str, Any]):
    """A JSON object that keeps the first value of a repeated key, and knows it was repeated."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__()
        self.repeated = set()
        for key, value in pairs:
            if key in self:
                self.repeated.add(key)
            else:
                self[key] = value


def read(root: Path, selection: Selection, card: Card, refused: RefusalLog) -> Iterator[Record]:
    """Yields one record per patient.

    Raises:
        InputError: `Annotation.json` is unreadable or of another form.
    """
    split_of = splits(root, refused)
    for number, (patient, rows) in enumerate(_patients(root, refused), start=1):
        if not _ID.fullmatch(patient) or not isinstance(rows, list):
            reason = "expected an id without blanks, and a list of series"
            refused.add(f"patient {number}", reason=reason, kind="invalid_row", file=FILE)
            continue
        series = list(_series_of(root, patient, rows, selection, refused))
        if not series:
            continue
        record = valid_record(
            f"patient {patient}",
            refused,
            file=FILE,
            record_id=f"lld_mmri/{patient}",
            source="lld_mmri",
            split=split_of.get(patient, ""),
            group_id=patient,
            images=tuple(image for one in series for image in one.images),
            regions=tuple(
                region
                for one in series
                for lesion in one.lesions
                for region in _regions(one, lesion)
            ),
            labels=tuple(_labels(series)),
            modality="mr",
            body_part="abdomen",
            licence=licence_of(card),
        )
        if record is not None:
            yield record


def _patients(root: Path, refused: RefusalLog) -> Iterator[tuple[str, Any]]:
    try:
        document = json.loads(read_text(root / FILE), object_pairs_hook=_Object)
    except (json.JSONDecodeError, RecursionError) as error:
        raise InputError(f"{root / FILE}: not JSON ({in_words(error)})") from None
    patients = document.get("Annotation_info") if isinstance(document, dict) else None
    if not isinstance(patients, _Object):
        raise InputError(f"{root / FILE}: expected an object with the key Annotation_info")
    for patient in sorted(patients.repeated):
        name = f"patient {patient}" if _ID.fullmatch(patient) else "a patient"
        reason = "this patient was already used; the first entry is kept"
        refused.add(name, reason=reason, kind="repeated_id", file=FILE)
    yield from patients.items()


def _series_of(
    root: Path, patient: str, rows: list[Any], selection: Selection, refused: RefusalLog
) -> Iterator[Series]:
    seen: set[str] = set()
    categories: dict[str, str] = {}
    for number, row in enumerate(rows, start=1):
        item = f"patient {patient}, series {number}"
        try:
            found = _series(root, patient, row, item, selection, refused)
            if found.phase in seen:
                raise InputError("this phase was already used", kind="repeated_id")
            for lesion in found.lesions:
                if categories.setdefault(lesion.lesion_id, lesion.category) != lesion.category:
                    raise InputError(
                        "category: another one than on the phases before",
                        kind="contradicting_rows",
                    )
        except InputError as error:
            refused.add(item, reason=str(error), kind=error.kind, file=FILE)
        else:
            seen.add(found.phase)
            if found.images:
                yield found


def _series(
    root: Path, patient: str, row: Any, item: str, selection: Selection, refused: RefusalLog
) -> Series:
    uids = [_text(row, name, _ID) for name in ("studyUID", "seriesUID")]
    phase = _text(row, "phase", re.compile("|".join(map(re.escape, PHASES))))
    path = "/".join(("images", patient, *uids)) + ".nii"
    if not (root / path).exists():
        path += ".gz"
    header = header_of(root, path)
    lesions = tuple(lesions_of(row, header))
    areas: dict[int, float] = {}
    for lesion in lesions:
        for index, (x0, y0, x1, y1) in lesion.boxes.items():
            areas[index] = areas.get(index, 0.0) + (x1 - x0) * (y1 - y0)
    if areas:
        indices = selection.of_marked(areas)
    else:
        indices = selection.of_volume(header.num_slices(slice_axis(header)))
    images = images_of(
        root, path, indices, item=item, file=FILE, refused=refused, image_id=phase, view=phase
    )
    return Series(phase, tuple(images), lesions)


def _text(row: Any, name: str, form: re.Pattern[str]) -> str:
    value = row.get(name) if isinstance(row, dict) else None
    if not isinstance(value, str) or not form.fullmatch(value):
        raise InputError(f"{name}: expected a text of the owners' form", kind="invalid_row")
    return value


def _regions(series: Series, lesion: Lesion) -> Iterator[Region]:
    """One region for each chosen slice that the lesion has a box on."""
    for image in series.images:
        if image.index in lesion.boxes:
            yield Region(
                region_id=f"lesion {lesion.lesion_id}, {image.image_id}",
                image_id=image.image_id,
                box_xyxy=lesion.boxes[image.index],
                slices=(min(lesion.boxes), max(lesion.boxes)),
                label=lesion.category,
                drawn_by="expert",
            )


def _labels(series: list[Series]) -> Iterator[Label]:
    """The class of each lesion, with its regions."""
    regions: dict[tuple[str, str], list[str]] = {}
    for one in series:
        for lesion in one.lesions:
            found = regions.setdefault((lesion.lesion_id, lesion.category), [])
            found += [region.region_id for region in _regions(one, lesion)]
    for (lesion_id, category), region_ids in regions.items():
        if category:
            yield Label(
                label_id=f"category {lesion_id}",
                name="category",
                value=category,
                system="LLD-MMRI class",
                region_ids=tuple(region_ids),
            )
