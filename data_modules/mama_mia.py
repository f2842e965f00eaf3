"""MAMA-MIA: breast DCE-MRI of four TCIA collections with expert tumour segmentations.

Owner: Garrucho et al., University of Barcelona (LidiaGarrucho/MAMA-MIA).
URL: https://github.com/LidiaGarrucho/MAMA-MIA
Licence: CC BY-NC-SA 4.0.
Access: open download from Synapse after registration; nothing is downloaded here.
Citation: Garrucho et al., "A large-scale multicenter breast cancer DCE-MRI benchmark dataset with
    expert segmentations", Scientific Data 12 (2025) 453.
Expected tree::

    <root>/
      clinical_and_imaging_info.xlsx             sheet dataset_info, 49 columns, a row a patient
      images/<ID>/<ID>_000<phase>.nii.gz         phase 0 = before contrast
      segmentations/expert/<ID>.nii.gz           optional
      train_test_splits.csv                      optional: train_split, test_split (ids)

Split policy: `train_test_splits.csv` where it is there (its 1,200 and 306 ids are from third
    parties), and then a patient that it lacks is refused; a patient is one group.
Known (owners' repository and notebook): layout, the 49 columns in their order, the kinds of values;
    `num_phases` differs from case to case, `view` is axial or sagittal. Third parties' files are
    named in lower case (`images/ISPY2_1/ispy2_1_0000.nii.gz`) and may be unpacked (`.nii`): both
    are taken.
Not known: the form of `patient_info_files/` beyond third parties' use of a breast box; it repeats
    the sheet and is not read.
A record is a patient with slices of all phases, along `view`, those with a segmentation where there
    is one (`volumes` says which); the box around it on each slice is a region, with the mask.
Not taken into Records: outcomes in days, ethnicity, weight and size, therapy's agent, gene scores,
    scanner, site, times and dates.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from data_modules import mama_mia_sheet as sheet
from data_modules.mama_mia_masks import mask_of, regions, sizes, spelt
from data_modules.reading import licence_of, valid_record
from data_modules.volumes import MOST, Selection, header_of, images_of
from semihvision.core.card import Card
from semihvision.core.components import Component
from semihvision.core.errors import InputError, RefusalLog
from semihvision.core.imaging.nifti_header import VolumeHeader
from semihvision.core.record import ImageRef, Record
from semihvision.core.spreadsheets import sheet_rows
from semihvision.core.tables import csv_rows, required_file

CARD = Card(
    name="mama_mia",
    title="MAMA-MIA",
    owner="Garrucho et al., University of Barcelona",
    url="https://github.com/LidiaGarrucho/MAMA-MIA",
    licence="CC-BY-NC-SA-4.0",
    licence_url="https://creativecommons.org/licenses/by-nc-sa/4.0/",
    access="Open download after registration at the owners' repository.",
    citation="Garrucho et al., MAMA-MIA, Scientific Data 12 (2025) 453",
    owners_caption_flag=True,
    human_text=False,
    api_clause="CC BY-NC-SA sets no rule for hosted models; de-identified patients' images.",
    redistribution="yes",
    commercial_use="no",
    share_alike=True,
    components=(
        Component(name="clinical sheet", patterns=("clinical_and_imaging_info.xlsx",)),
        Component(
            name="patients",
            patterns=("images/*",),
            unit="folders",
            published=1_506,
            origin="owners",
        ),
        Component(name="volumes", patterns=("images/*/*.nii*",)),
        Component(
            name="expert segmentations",
            patterns=("segmentations/expert/*.nii*",),
            published=1_506,
            origin="owners",
            is_required=False,
        ),
        Component(
            name="split table", patterns=("train_test_splits.csv",), unit="rows", is_required=False
        ),
    ),
    notes=(
        "The four TCIA collections inside have terms of their own, which were not read. That "
        "access needs a registration is general knowledge."
    ),
)

SPLIT_FILE = "train_test_splits.csv"
SPLITS = {"train_split": "train", "test_split": "test"}


def read(
    root: Path, refused: RefusalLog, *, slices: str = "marked", most: int = MOST
) -> Iterator[Record]:
    """Yields one record per patient, in the order of the sheet.

    An unusable phase or segmentation is refused by itself; the patient goes on with the rest, and
    without a segmentation with evenly spaced slices.

    Args:
        root: Folder in the owners' layout.
        refused: Gets what cannot be used, with the reason.
        slices: ``marked`` (slices of the segmentation) or ``largest`` (that with its largest area).
        most: Slices of one phase at most.

    Raises:
        InputError: There is no sheet, or one of the used columns is missing.
    """
    selection = Selection(slices, most).checked()
    path = required_file(root, sheet.FILE)
    split_of = _splits(root, refused)
    seen: set[str] = set()
    listed: set[str] = set()
    for number, cells in sheet_rows(path, sheet.SHEET, sheet.USED, refused):
        item = f"row {number}"
        listed.add(cells["patient_id"].lower())
        try:
            row = sheet.checked(cells)
            patient = row["patient_id"]
            if patient in seen:
                raise InputError("this patient_id was already used", kind="repeated_id")
            seen.add(patient)
            if split_of is not None and patient not in split_of:
                raise InputError(f"no row for it in {SPLIT_FILE}", kind="no_split")
            split = (split_of or {}).get(patient, "")
            record = _record(root, row, split, item, selection, refused)
        except InputError as error:
            refused.add(item, reason=str(error), kind=error.kind, file=path.name)
            continue
        if record is not None:
            yield record
    _refuse_unlisted(root, listed, refused)


def _refuse_unlisted(root: Path, listed: set[str], refused: RefusalLog) -> None:
    """Refuses folders of images that no row of the sheet speaks of."""
    folder = root / "images"
    found = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    for number, name in enumerate(found, start=1):
        if name.lower() not in listed:
            reason = "no row in the sheet has this name as patient_id"
            refused.add(f"folder {number} of images", reason=reason, kind="no_row", file="images")


def _splits(root: Path, refused: RefusalLog) -> dict[str, str] | None:
    """Patient -> split; None where there is no such table."""
    path = root / SPLIT_FILE
    if not path.is_file():
        return None
    splits: dict[str, str] = {}
    for line, row in csv_rows(path, tuple(SPLITS), refused):
        for column, split in SPLITS.items():
            patient = row[column].strip()
            if splits.setdefault(patient, split) != split and patient:
                reason = f"{column}: this id is in the other split, too; that one is kept"
                item = f"line {line}"
                refused.add(item, reason=reason, kind="contradicting_rows", file=path.name)
    return splits


def _record(
    root: Path, row: sheet.Row, split: str, item: str, selection: Selection, refused: RefusalLog
) -> Record | None:
    patient, axis = row["patient_id"], row["view"]
    phases = _phases(root, row, item, refused)
    usable: dict[int, VolumeHeader] = {}
    for phase, path in phases.items():
        try:
            usable[phase] = header_of(root, path)
        except InputError as error:
            _refuse(refused, f"{item}, phase {phase}", error)
    if not usable:
        return None
    header = next(iter(usable.values()))
    mask = None
    try:
        mask = mask_of(root, patient, axis, header)
    except InputError as error:
        _refuse(refused, f"{item}, segmentation", error)
    chosen = (
        selection.of_marked(mask.areas) if mask else selection.of_volume(header.num_slices(axis))
    )
    images: list[ImageRef] = []
    for phase, found in usable.items():
        name = f"{item}, phase {phase}"
        try:
            if sizes(found) != sizes(header):
                raise InputError("another size than the first phase", kind="image_size")
            images += images_of(
                root, phases[phase], chosen, item=name, file=sheet.FILE, refused=refused,
                axis=axis, image_id=f"phase {phase}", view=f"phase {phase}",
            )  # fmt: skip
        except InputError as error:
            _refuse(refused, name, error)
    if not images:
        return None
    return valid_record(
        item,
        refused,
        file=sheet.FILE,
        record_id=f"mama_mia/{patient}",
        source="mama_mia",
        split=split,
        group_id=patient,
        images=tuple(images),
        regions=tuple(regions(images, mask)) if mask else (),
        labels=tuple(sheet.labels(row)),
        modality="mr",
        body_part="thorax",
        licence=licence_of(CARD),
    )


def _refuse(refused: RefusalLog, item: str, error: InputError) -> None:
    refused.add(item, reason=str(error), kind=error.kind, file=sheet.FILE)


def _phases(root: Path, row: sheet.Row, item: str, refused: RefusalLog) -> dict[int, str]:
    """Phase -> path of its volume; phases that the sheet has and the folder lacks are refused."""
    patient, expected = row["patient_id"], range(int(row["num_phases"]))
    folder = spelt(root / "images", patient, ("",)) or patient
    form = re.compile(rf"{re.escape(patient)}_([0-9]{{4}})\.nii(\.gz)?", re.IGNORECASE)
    found: dict[int, str] = {}
    directory = root / "images" / folder
    for path in sorted(directory.iterdir()) if directory.is_dir() else ():
        match = form.fullmatch(path.name)
        if match:
            found.setdefault(int(match[1]), f"images/{folder}/{path.name}")
    for phase in sorted({*expected} ^ {*found}):
        missing = phase in expected
        reason = "no such volume" if missing else "a volume more than num_phases"
        kind = "missing_image" if missing else "contradicting_rows"
        refused.add(f"{item}, phase {phase}", reason=reason, kind=kind, file=sheet.FILE)
    return {phase: path for phase, path in sorted(found.items()) if phase in expected}


def write_twin(root: Path, *, cases: int, seed: int) -> None:
    """Writes a drawn twin in the layout above; see `data_modules.twins.mama_mia`."""
    from data_modules.twins.mama_mia import write_twin as write

    write(root, cases=cases, seed=seed)
