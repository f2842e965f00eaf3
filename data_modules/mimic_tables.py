"""MIMIC-CXR-JPG's tables: their names, the sound rows by study, splits and labels by id."""

import re
from pathlib import Path

from semihvision.core.errors import InputError, RefusalLog
from semihvision.core.tables import csv_rows

TABLE = "mimic-cxr-2.0.0-{name}.csv"
METADATA_COLUMNS = (
    "dicom_id", "subject_id", "study_id", "PerformedProcedureStepDescription", "ViewPosition",
    "Rows", "Columns", "StudyDate", "StudyTime", "ProcedureCodeSequence_CodeMeaning",
    "ViewCodeSequence_CodeMeaning", "PatientOrientationCodeSequence_CodeMeaning",
)  # fmt: skip
FINDINGS = (
    "Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Enlarged Cardiomediastinum",
    "Fracture", "Lung Lesion", "Lung Opacity", "No Finding", "Pleural Effusion", "Pleural Other",
    "Pneumonia", "Pneumothorax", "Support Devices",
)  # fmt: skip
LABELLERS = {"chexpert": "CheXpert", "negbio": "NegBio"}
SPLITS = {"train": "train", "validate": "validation", "test": "test"}
_USED_COLUMNS = ("dicom_id", "subject_id", "study_id", "ViewPosition")
_ID_FORMS = {
    "dicom_id": re.compile(r"[0-9a-f-]+"),
    "subject_id": re.compile(r"[0-9]+"),
    "study_id": re.compile(r"[0-9]+"),
    "StudyDate": re.compile(r"([0-9]{8})?"),
}
_STATES = ("1", "1.0", "0", "0.0", "-1", "-1.0", "")
"""What a labeller says of a finding: present, absent, uncertain, not mentioned."""
Row = dict[str, str]


def table_names(name: str) -> tuple[str, str]:
    """File names a table may have: plain and gzip-compressed."""
    plain = TABLE.format(name=name)
    return plain, plain + ".gz"


def studies_of(metadata: Path, refused: RefusalLog) -> dict[str, list[Row]]:
    """The rows of every study; ids have their form, so that they may stand in messages."""
    studies: dict[str, list[Row]] = {}
    seen: set[str] = set()
    for line, row in csv_rows(metadata, _USED_COLUMNS, refused):
        wrong = [name for name, form in _ID_FORMS.items() if not form.fullmatch(row.get(name, ""))]
        if wrong:
            reason = (
                f"{', '.join(wrong)}: expected digits; in dicom_id hexadecimal digits and hyphens, "
                "in StudyDate eight or none"
            )
            refused.add(f"line {line}", reason=reason, kind="invalid_row", file=metadata.name)
        elif row["dicom_id"] in seen:
            reason = "this dicom_id was already used"
            refused.add(f"line {line}", reason=reason, kind="repeated_id", file=metadata.name)
        else:
            seen.add(row["dicom_id"])
            studies.setdefault(row["study_id"], []).append(row)
    return studies


def rows_by_id(
    root: Path, name: str, columns: tuple[str, ...], refused: RefusalLog
) -> dict[str, Row] | None:
    """The rows of an optional table by its first column; None where there is no such table.

    A repeated row is refused; where it says something else, so is the first one. A row of labels
    with a cell that is none is refused.
    """
    path = next((root / name for name in table_names(name) if (root / name).is_file()), None)
    if path is None:
        return None
    table: dict[str, Row] = {}
    contradicted: set[str] = set()
    for line, row in csv_rows(path, columns, refused):
        if name in LABELLERS and any(row[column].strip() not in _STATES for column in FINDINGS):
            reason = "a label: expected 1.0, 0.0, -1.0 or nothing"
            refused.add(f"line {line}", reason=reason, kind="invalid_row", file=path.name)
            continue
        key = row[columns[0]]
        first = table.setdefault(key, row)
        if first is row:
            continue
        reason, kind = f"this {columns[0]} was already used; the first is kept", "repeated_id"
        if any(first[column] != row[column] for column in columns):
            reason = f"this {columns[0]} was already used with other values; none is kept"
            kind = "contradicting_rows"
            contradicted.add(key)
        refused.add(f"line {line}", reason=reason, kind=kind, file=path.name)
    return {key: row for key, row in table.items() if key not in contradicted}


def split_of(rows: list[Row], splits: dict[str, Row] | None) -> str:
    """The study's split; empty where the owners' table of splits is not there."""
    if splits is None:
        return ""
    if not all(row["dicom_id"] in splits for row in rows):
        raise InputError("not all of its images have a row in the split table", kind="no_split")
    found = {splits[row["dicom_id"]]["split"] for row in rows}
    if len(found) > 1 or not found <= set(SPLITS):
        raise InputError(
            f"split: expected one of {', '.join(SPLITS)}, the same for the whole study",
            kind="invalid_row",
        )
    return SPLITS[found.pop()]
