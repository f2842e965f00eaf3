"""PadChest's table: its columns, its sound rows by study, its cells as lists and numbers."""

import math
import re
import sys
from datetime import date
from pathlib import Path

from data_modules.cells import text_list
from semihvision.core.errors import InputError, RefusalLog
from semihvision.core.tables import csv_rows

TABLE = "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv"
COLUMNS = (
    "", "ImageID", "ImageDir", "StudyDate_DICOM", "StudyID", "PatientID", "PatientBirth",
    "PatientSex_DICOM", "ViewPosition_DICOM", "Projection", "MethodProjection", "Pediatric",
    "Modality_DICOM", "Manufacturer_DICOM", "PhotometricInterpretation_DICOM",
    "PixelRepresentation_DICOM", "PixelAspectRatio_DICOM", "SpatialResolution_DICOM",
    "BitsStored_DICOM", "WindowCenter_DICOM", "WindowWidth_DICOM", "Rows_DICOM", "Columns_DICOM",
    "XRayTubeCurrent_DICOM", "Exposure_DICOM", "ExposureInuAs_DICOM", "ExposureTime",
    "RelativeXRayExposure_DICOM", "ReportID", "Report", "MethodLabel", "Labels", "Localizations",
    "LabelsLocalizationsBySentence", "labelCUIS", "LocalizationsCUIS",
)  # fmt: skip
"""All of them, in the order of the release; those of `_USED` must be there."""
SPELLINGS = {"ExposureTime_DICOM": "ExposureTime", "LabelCUIS": "labelCUIS"}
"""Spelling of the owners' README -> of the release."""
_USED = (
    "ImageID", "ImageDir", "StudyDate_DICOM", "StudyID", "PatientID", "PatientBirth",
    "PatientSex_DICOM", "Projection", "PhotometricInterpretation_DICOM", "BitsStored_DICOM",
    "WindowCenter_DICOM", "WindowWidth_DICOM", "Report", "MethodLabel", "Labels", "Localizations",
)  # fmt: skip
_FORMS = {
    "ImageID": (r"[\w. -]{1,120}\.png", "a name that ends with .png"),
    "ImageDir": (r"[0-9]{1,3}", "a number of at most three digits"),
    "StudyID": (r"[\w.-]{1,80}", "an id without blanks"),
    "PatientID": (r"[\w.-]{1,80}", "an id without blanks"),
    "StudyDate_DICOM": (r"([0-9]{8}(\.0)?)?", "YYYYMMDD or nothing"),
    "PatientBirth": (r"([0-9]{4}(\.0)?)?", "a year or nothing"),
    "BitsStored_DICOM": (r"([0-9]{1,2}(\.0)?)?", "a number of bits or nothing"),
}
_NOTHING = ("", "nan", "none")
Row = dict[str, str]


def studies_of(table: Path, refused: RefusalLog) -> dict[str, list[tuple[int, Row]]]:
    """The used cells of all sound rows by study; equal cells are kept once."""
    studies: dict[str, list[tuple[int, Row]]] = {}
    seen: set[str] = set()
    for line, cells in csv_rows(table, _USED, refused, spellings=SPELLINGS):
        row = {name: sys.intern(_stated(cells[name])) for name in _USED}
        try:
            _check(row)
            if row["ImageID"] in seen:
                raise InputError("this ImageID was already used", kind="repeated_id")
        except InputError as error:
            refused.add(f"line {line}", reason=str(error), kind=error.kind, file=table.name)
            continue
        seen.add(row["ImageID"])
        studies.setdefault(row["StudyID"], []).append((line, row))
    return studies


def _stated(cell: str) -> str:
    """A cell without blanks around it; empty where it says nothing."""
    cell = cell.strip()
    return "" if cell.lower() in _NOTHING else cell


def _check(row: Row) -> None:
    for column, (form, expected) in _FORMS.items():
        if not re.fullmatch(form, row[column]):
            raise InputError(f"{column}: expected {expected}", kind="invalid_row")
    if row["StudyDate_DICOM"]:
        try:
            date.fromisoformat(row["StudyDate_DICOM"][:8])
        except ValueError:
            raise InputError("StudyDate_DICOM: no such day", kind="invalid_row") from None
    for column in ("Labels", "Localizations"):
        list_of(row, column)
    center, width = (number_of(row, f"Window{name}_DICOM") for name in ("Center", "Width"))
    if (center is None) != (width is None) or (width is not None and width <= 0):
        raise InputError(
            "WindowCenter_DICOM, WindowWidth_DICOM: expected both or none, and a width above 0",
            kind="invalid_row",
        )


def list_of(row: Row, column: str) -> list[str]:
    """The different texts of a cell that is a list in Python's spelling."""
    try:
        return list(dict.fromkeys(text_list(row[column])))
    except InputError as error:
        raise InputError(f"{column}: {error}", kind=error.kind) from None


def number_of(row: Row, column: str) -> float | None:
    """The number of a cell, the first of several ones; None where it is empty."""
    first = re.split(r"[,\\]", row[column].strip("[]()"))[0].strip()
    if not first:
        return None
    try:
        value = float(first)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"{column}: expected a number", kind="invalid_row")
    return value
