"""MAMA-MIA's sheet of clinical and imaging facts: its 49 columns, and which become labels."""

import re
from collections.abc import Iterator
from datetime import datetime

from semihvision.core.errors import InputError
from semihvision.core.record import Label

FILE = "clinical_and_imaging_info.xlsx"
SHEET = "dataset_info"
COLUMNS = (
    "patient_id", "dataset", "bilateral_breast_cancer", "multifocal_cancer", "nac_agent",
    "endocrine_therapy", "anti_her2_neu_therapy", "pcr", "mastectomy_post_nac",
    "days_to_follow_up", "days_to_recurrence", "days_to_metastasis", "days_to_death", "hr", "er",
    "pr", "her2", "mammaprint", "oncotype_score", "nottingham_grade", "tumor_subtype", "age",
    "menopause", "ethnicity", "has_implant", "weight", "patient_size", "bmi_group", "view",
    "bilateral_mri", "num_phases", "fat_suppressed", "field_strength", "image_rows",
    "image_columns", "num_slices", "pixel_spacing", "slice_thickness", "site", "manufacturer",
    "scanner_model", "high_bit", "window_center", "window_width", "echo_time", "repetition_time",
    "acquisition_times", "acquisition_date", "tcia_series_uid",
)  # fmt: skip
DATASETS = ("DUKE", "ISPY1", "ISPY2", "NACT")
VIEWS = ("axial", "sagittal")

_YES_NO = {"1": "yes", "0": "no"}
_SIGN = {"1": "positive", "0": "negative"}
FLAGS = {
    **dict.fromkeys(
        (
            "bilateral_breast_cancer", "multifocal_cancer", "pcr", "endocrine_therapy",
            "anti_her2_neu_therapy", "mastectomy_post_nac", "has_implant", "bilateral_mri",
            "fat_suppressed",
        ),
        _YES_NO,
    ),
    **dict.fromkeys(("hr", "er", "pr", "her2"), _SIGN),
}  # fmt: skip
"""Columns of 0 and 1, and what they say; in words, for a bare 1 would read as a finding."""
WORDS = ("tumor_subtype", "nottingham_grade", "menopause")
"""Columns of words. The subtype is the diagnosis; menopause is cut before its explanation."""
USED = ("patient_id", "dataset", "age", "view", "num_phases", "acquisition_date", *FLAGS, *WORDS)

_PATIENT = re.compile(r"[A-Za-z0-9]{1,16}_[A-Za-z0-9_-]{1,40}")
_WORD = re.compile(r"[A-Za-z0-9][\w /+.-]{0,60}")
_NOTHING = ("", "nan", "none", "na")
_MOST_PHASES = 100

Row = dict[str, str]


def checked(cells: Row) -> Row:
    """The used cells of a row: numbers without ``.0``, nothing where nothing is said.

    Raises:
        InputError: A cell has another form; it is not quoted.
    """
    row = {name: _stated(cells[name]) for name in USED}
    expected = {
        "patient_id": (_PATIENT.fullmatch(row["patient_id"]), "an id such as DUKE_001"),
        "dataset": (row["dataset"] in DATASETS, f"one of {', '.join(DATASETS)}"),
        "view": (row["view"] in VIEWS, f"one of {', '.join(VIEWS)}"),
        "num_phases": (
            row["num_phases"].isascii()
            and row["num_phases"].isdigit()
            and 0 < int(row["num_phases"][:9]) <= _MOST_PHASES,
            f"a whole number from 1 to {_MOST_PHASES}",
        ),
        "age": (re.fullmatch(r"([0-9]{1,3}(\.[0-9]+)?)?", row["age"]), "years or nothing"),
        "acquisition_date": (_is_day(row["acquisition_date"]), "YYYY/MM/DD or nothing"),
        **{name: (row[name] in ("", "0", "1"), "0, 1 or nothing") for name in FLAGS},
        **{name: (not row[name] or _WORD.fullmatch(row[name]), "words") for name in WORDS},
    }
    for name, (is_right, form) in expected.items():
        if not is_right:
            raise InputError(f"{name}: expected {form}", kind="invalid_row")
    return row


def labels(row: Row) -> Iterator[Label]:
    """The labels of a checked row."""
    for name in ("age", *FLAGS, *WORDS):
        value = row[name]
        if value:
            said = FLAGS[name][value] if name in FLAGS else value.split(".")[0]
            yield Label(label_id=name, name=name, value=said, system="MAMA-MIA sheet")


def _stated(cell: str) -> str:
    cell = cell.split("(")[0].strip()
    cell = re.sub(r"^([0-9]+)\.0+$", r"\1", cell)
    return "" if cell.lower() in _NOTHING else cell


def _is_day(cell: str) -> bool:
    if not cell:
        return True
    try:
        datetime.strptime(cell, "%Y/%m/%d")  # noqa: DTZ007 -- a day has no zone
    except ValueError:
        return False
    return True
