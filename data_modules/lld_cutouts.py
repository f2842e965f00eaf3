"""LLD-MMRI's cut-outs around lesions (`classification_dataset`), and its lists of labels."""

import re
from collections.abc import Iterator
from pathlib import Path

from data_modules.reading import licence_of, valid_record
from data_modules.volumes import Selection, header_of, images_of, slice_axis
from semihvision.core.card import Card
from semihvision.core.errors import InputError, RefusalLog
from semihvision.core.record import ImageRef, Label, Record
from semihvision.core.tables import required_file

FOLDER = "classification_dataset"
LISTS = {"labels.txt": "train", "labels_val_inaccessible.txt": "validation"}
"""List of labels -> split."""
PHASES = ("T2WI", "DWI", "In Phase", "Out Phase", "C-pre", "C+A", "C+V", "C+Delay")
CLASSES = (
    "Hepatic_hemangioma", "Intrahepatic_cholangiocarcinoma", "Hepatic_abscess",
    "Hepatic_metastasis", "Hepatic_cyst", "FOCAL_NODULAR_HYPERPLASIA", "Hepatocellular_carcinoma",
)  # fmt: skip
"""Classes in the owners' spelling; their place is their number."""
INACCESSIBLE = "Inaccessible"

_LINE = re.compile(r"([\w.-]{1,64}) +(-?[0-9]+)")
_NUMBER = re.compile(r"_[0-9]+$")


def read(root: Path, selection: Selection, card: Card, refused: RefusalLog) -> Iterator[Record]:
    """Yields one record per listed lesion; a phase that cannot be used is refused by itself.

    Raises:
        InputError: There is no list of labels.
    """
    folder = root / FOLDER / "labels"
    required_file(folder, *LISTS)
    for name in LISTS:
        for line, lesion, number in listed(folder / name, refused):
            images = list(_images(root, lesion, f"line {line}", name, selection, refused))
            if not images:
                continue
            record = valid_record(
                f"line {line}",
                refused,
                file=name,
                record_id=f"lld_mmri/{lesion}",
                source="lld_mmri",
                split=LISTS[name],
                group_id=patient_of(lesion),
                images=tuple(images),
                labels=tuple(_labels(number)),
                modality="mr",
                body_part="abdomen",
                licence=licence_of(card),
            )
            if record is not None:
                yield record


def splits(root: Path, refused: RefusalLog) -> dict[str, str]:
    """Patient -> split, by the lists of labels that are there."""
    folder = root / FOLDER / "labels"
    return {
        patient_of(lesion): split
        for name, split in LISTS.items()
        for _, lesion, _ in listed(folder / name, refused)
    }


def patient_of(lesion: str) -> str:
    """The patient of a lesion: its id without the number of a further lesion."""
    return _NUMBER.sub("", lesion)


def listed(path: Path, refused: RefusalLog) -> Iterator[tuple[int, str, int]]:
    """Line number, lesion and class number of every line of a list; nothing if it is not there."""
    if not path.is_file():
        return
    seen: set[str] = set()
    # A byte that is not UTF-8 becomes a letter that no id holds.
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    for line, row in enumerate(text.splitlines(), start=1):
        if not row.strip():
            continue
        found = _LINE.fullmatch(" ".join(row.split()))
        if found is None or not -1 <= int(found[2]) < len(CLASSES):
            reason = f"expected an id, a blank, and a class from -1 to {len(CLASSES) - 1}"
            refused.add(f"line {line}", reason=reason, kind="invalid_row", file=path.name)
        elif found[1] in seen:
            reason = "this id was already used"
            refused.add(f"line {line}", reason=reason, kind="repeated_id", file=path.name)
        else:
            seen.add(found[1])
            yield line, found[1], int(found[2])


def _images(
    root: Path, lesion: str, item: str, file: str, selection: Selection, refused: RefusalLog
) -> Iterator[ImageRef]:
    for phase in PHASES:
        path = f"{FOLDER}/images/{lesion}/{phase}.nii.gz"
        name = f"{item}, {phase}"
        try:
            header = header_of(root, path)
            indices = selection.of_volume(header.num_slices(slice_axis(header)))
            yield from images_of(
                root, path, indices, item=name, file=file, refused=refused, image_id=phase,
                view=phase,
            )  # fmt: skip
        except InputError as error:
            refused.add(name, reason=str(error), kind=error.kind, file=file)


def _labels(number: int) -> Iterator[Label]:
    if number >= 0:
        yield Label(
            label_id="category", name="category", value=CLASSES[number], system="LLD-MMRI class"
        )
