"""MIMIC-CXR-JPG: chest radiographs with free-text reports and labels, under a credential.

Owner: MIT Laboratory for Computational Physiology, PhysioNet.
URL: https://physionet.org/content/mimic-cxr-jpg/
Licence: PhysioNet Credentialed Health Data License 1.5.0.
Access: credentialed account, training and signed agreement at PhysioNet; nothing is downloaded.
Citation: Johnson et al., "MIMIC-CXR, a de-identified publicly available database of chest
    radiographs with free-text reports", Scientific Data 6 (2019) 317.
Expected tree (tables plain or gzip-compressed, `.csv` or `.csv.gz`)::

    <root>/
      mimic-cxr-2.0.0-metadata.csv
      mimic-cxr-2.0.0-split.csv                       optional
      mimic-cxr-2.0.0-chexpert.csv, ...-negbio.csv    optional
      files/p10/p10000032/s50414267.txt               report
      files/p10/p10000032/s50414267/<dicom_id>.jpg

Split policy: the owners' split; a patient is one group. Where the split table is there, a study
    that is not in it is refused, lest it be trained on.
Known (owners' code, MIT-LCP/mimic-cxr): the paths, the metadata's columns, the form of reports and
    which section stands for a report (impression, else findings, else the last paragraph, else
    comparison; the last occurrence of a section counts). Names of the table files, and columns of
    split and labels, are general knowledge. Text, images and everything derived from them may go
    to a hosted model only with zero retention, no training use and no human review.
"""

from collections.abc import Iterator
from pathlib import Path

from data_modules.mimic_reports import chosen_sections
from data_modules.mimic_tables import (
    FINDINGS,
    LABELLERS,
    Row,
    rows_by_id,
    split_of,
    studies_of,
    table_names,
)
from data_modules.reading import OWNER, licence_of, valid_record
from semihvision.core.card import Card
from semihvision.core.components import Component
from semihvision.core.errors import InputError, RefusalLog
from semihvision.core.images import probe_image
from semihvision.core.paths import inside
from semihvision.core.record import ImageRef, Label, Record, Text
from semihvision.core.tables import required_file

CARD = Card(
    name="mimic_cxr",
    title="MIMIC-CXR-JPG",
    owner="MIT Laboratory for Computational Physiology, PhysioNet",
    url="https://physionet.org/content/mimic-cxr-jpg/",
    licence="PhysioNet Credentialed Health Data License 1.5.0",
    licence_url="https://physionet.org/content/mimic-cxr-jpg/view-license/2.1.0/",
    access="Credentialed PhysioNet account with signed data use agreement.",
    citation="Johnson et al., Scientific Data 6 (2019) 317",
    owners_caption_flag=False,
    human_text=True,
    api_conditions=("zero_retention", "no_training", "no_human_review"),
    api_clause=(
        "PhysioNet's notice of 24 September 2025 allows hosted models only with zero retention, "
        "no training use and no human review, and recommends local ones."
    ),
    redistribution="no",
    commercial_use="conditional",
    components=(
        Component(
            name="metadata",
            patterns=("mimic-cxr-2.0.0-metadata.csv*",),
            unit="rows",
            published=377_110,
            origin="general knowledge",
        ),
        Component(
            name="split table",
            patterns=("mimic-cxr-2.0.0-split.csv*",),
            unit="rows",
            published=377_110,
            origin="general knowledge",
            is_required=False,
        ),
        Component(
            name="CheXpert labels",
            patterns=("mimic-cxr-2.0.0-chexpert.csv*",),
            unit="rows",
            published=227_827,
            origin="general knowledge",
            is_required=False,
        ),
        Component(
            name="NegBio labels",
            patterns=("mimic-cxr-2.0.0-negbio.csv*",),
            unit="rows",
            published=227_827,
            origin="general knowledge",
            is_required=False,
        ),
        Component(
            name="reports",
            patterns=("files/p*/p*/s*.txt",),
            published=227_835,
            origin="general knowledge",
            is_required=False,
        ),
        Component(
            name="radiographs",
            patterns=("files/p*/p*/s*/*.jpg",),
            published=377_110,
            origin="general knowledge",
        ),
    ),
    notes="What the licence says on commercial use was not read; derivatives count as the data.",
)


def read(root: Path, refused: RefusalLog) -> Iterator[Record]:
    """Yields one record per study, in the order of the metadata table.

    An unusable image or a missing report is refused by itself; the study goes on with the rest, and
    is refused if no image remains.

    Args:
        root: Folder in the owners' layout.
        refused: Gets what cannot be used, with the reason.

    Raises:
        InputError: There is no metadata table, or a column is missing.
    """
    metadata = required_file(root, *table_names("metadata"))
    splits = rows_by_id(root, "split", ("dicom_id", "split"), refused)
    labels = {
        system: rows_by_id(root, name, ("study_id", *FINDINGS), refused) or {}
        for name, system in LABELLERS.items()
    }
    for study, rows in studies_of(metadata, refused).items():
        found = [(system, table[study]) for system, table in labels.items() if study in table]
        try:
            split = split_of(rows, splits)
            record = _record(root, study, rows, split, _labels(found), refused)
        except InputError as error:
            refused.add(f"study {study}", reason=str(error), kind=error.kind, file=metadata.name)
            continue
        if record is not None:
            yield record


def study_folder(subject: str, study: str) -> str:
    """Path of a study below the root; its report has the same name with ``.txt``."""
    return f"files/p{subject[:2]}/p{subject}/s{study}"


def _record(
    root: Path,
    study: str,
    rows: list[Row],
    split: str,
    labels: tuple[Label, ...],
    refused: RefusalLog,
) -> Record | None:
    subjects = {row["subject_id"] for row in rows}
    if len(subjects) > 1:
        raise InputError("its images name different subject_ids", kind="contradicting_rows")
    folder = study_folder(rows[0]["subject_id"], study)
    images = tuple(_images(root, folder, rows, refused))
    if not images:
        raise InputError("none of its images can be used", kind="no_image")
    return valid_record(
        f"study {study}",
        refused,
        file=folder,
        record_id=f"mimic_cxr/s{study}",
        source="mimic_cxr",
        split=split,
        group_id=f"p{rows[0]['subject_id']}",
        images=images,
        labels=labels,
        modality="xray",
        body_part="thorax",
        texts=tuple(_texts(root, study, folder, refused)),
        provenance=(OWNER,),
        licence=licence_of(CARD),
    )


def _images(root: Path, folder: str, rows: list[Row], refused: RefusalLog) -> Iterator[ImageRef]:
    for row in rows:
        path = f"{folder}/{row['dicom_id']}.jpg"
        try:
            yield probe_image(root, path, image_id=row["dicom_id"], view=row["ViewPosition"])
        except InputError as error:
            item = f"image {row['dicom_id']}"
            refused.add(item, reason=str(error), kind=error.kind, file=path)


def _labels(found: list[tuple[str, Row]]) -> tuple[Label, ...]:
    """1 present, 0 absent, -1 uncertain; a blank cell means not mentioned and gives no label."""
    return tuple(
        Label(label_id=f"{system} {name}", name=name, value=row[name].strip(), system=system)
        for system, row in found
        for name in FINDINGS
        if row[name].strip()
    )


def _texts(root: Path, study: str, folder: str, refused: RefusalLog) -> Iterator[Text]:
    name = f"{folder}.txt"
    try:
        path = inside(root, name)
        if not path.is_file():
            raise InputError(f"{name}: no such report", kind="missing_report")
        chosen = chosen_sections(path.read_text(encoding="utf-8"))
    except InputError as error:
        refused.add(f"report {study}", reason=str(error), kind=error.kind, file=name)
        return
    except UnicodeDecodeError:
        reason, kind = f"{name}: no UTF-8", "unreadable_report"
        refused.add(f"report {study}", reason=reason, kind=kind, file=name)
        return
    for kind, text in chosen.items():
        yield Text(text_id=kind, kind=kind, text=text, provenance_id=OWNER.provenance_id)


def write_twin(root: Path, *, cases: int, seed: int) -> None:
    """Writes a drawn twin in the layout above; see `data_modules.twins.mimic_cxr`."""
    from data_modules.twins.mimic_cxr import write_twin as write

    write(root, cases=cases, seed=seed)
