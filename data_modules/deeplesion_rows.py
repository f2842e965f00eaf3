"""DeepLesion's table: its columns, its rows by key slice, its cells as numbers."""

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from data_modules.grouping import grouped_rows
from semihvision.core.errors import InputError, RefusalLog
from semihvision.core.tables import csv_rows

COLUMNS = (
    "File_name", "Patient_index", "Study_index", "Series_ID", "Key_slice_index",
    "Measurement_coordinates", "Bounding_boxes", "Lesion_diameters_Pixel_",
    "Normalized_lesion_location", "Coarse_lesion_type", "Possibly_noisy", "Slice_range",
    "Spacing_mm_px_", "Image_size", "DICOM_windows", "Patient_gender", "Patient_age",
    "Train_Val_Test",
)  # fmt: skip
LESION_TYPES = {
    1: "bone", 2: "abdomen", 3: "mediastinum", 4: "liver", 5: "lung", 6: "kidney",
    7: "soft tissue", 8: "pelvis",
}  # fmt: skip
"""`Coarse_lesion_type` in the owners' words; -1 (not known) gives no label."""
BODY_PARTS = {
    2: "abdomen", 3: "thorax", 4: "abdomen", 5: "thorax", 6: "abdomen", 8: "lower",
}  # fmt: skip
"""Body part where the coarse type says it for certain."""
SPLITS = {"1": "train", "2": "validation", "3": "test"}
_FILE_NAME = re.compile(r"[0-9]+_[0-9]+_[0-9]+_[0-9]+\.png")

Row = dict[str, str]


class Lesion(NamedTuple):
    """A row, and its line in the table."""

    line: int
    row: Row


def lesions_by_slice(table: Path, refused: RefusalLog) -> Iterator[list[Lesion]]:
    """The usable rows of each key slice, in the table's order.

    Args:
        table: The owners' `DL_info.csv`.
        refused: Gets rows that cannot be used, and rows that are there twice.

    Raises:
        InputError: A column is missing, or the file is no readable table.
    """

    def rows(is_last: bool) -> Iterator[Lesion]:
        log = refused if is_last else RefusalLog()
        return (Lesion(line, row) for line, row in csv_rows(table, COLUMNS, log))

    for together in grouped_rows(rows, lambda lesion: lesion.row["File_name"]):
        kept: list[Lesion] = []
        for line, row in together:
            try:
                check_row(row)
                if any(row == other.row for other in kept):
                    raise InputError("the same row again; the first is kept", kind="repeated_id")
            except InputError as error:
                refused.add(f"line {line}", reason=str(error), kind=error.kind, file=table.name)
            else:
                kept.append(Lesion(line, row))
        if kept:
            yield kept


def image_path(file_name: str) -> str:
    """Path of a key slice below the root: the last underscore of `File_name` is a slash.

    Raises:
        InputError: It is no such name.
    """
    if not _FILE_NAME.fullmatch(file_name):
        raise InputError(
            "File_name: expected <patient>_<study>_<series>_<slice>.png with numbers in digits",
            kind="invalid_row",
        )
    series, _, slice_name = file_name.rpartition("_")
    return f"Images_png/{series}/{slice_name}"


def check_row(row: Row) -> None:
    """Refuses a row by itself, so that the other lesions of its slice stay.

    Raises:
        InputError: Names the column, never its content.
    """
    image_path(row["File_name"])
    box = numbers_of(row, "Bounding_boxes", 4)
    if not (box[2] > box[0] and box[3] > box[1]):
        raise InputError("Bounding_boxes: expected x1 > x0 and y1 > y0", kind="invalid_row")
    numbers_of(row, "Measurement_coordinates", 8)
    numbers_of(row, "Spacing_mm_px_", 3)
    low, high = numbers_of(row, "DICOM_windows", 2)
    if high <= low:
        raise InputError("DICOM_windows: expected low < high", kind="invalid_row")
    numbers_of(row, "Image_size", 2)
    numbers_of(row, "Slice_range", 2)
    if row["Train_Val_Test"] not in SPLITS:
        raise InputError("Train_Val_Test: expected 1, 2 or 3", kind="invalid_row")
    if number_of(row, "Coarse_lesion_type") not in {-1, *LESION_TYPES}:
        raise InputError("Coarse_lesion_type: expected -1 or 1-8", kind="invalid_row")
    index = number_of(row, "Key_slice_index")
    if index != int(index) or not 0 <= index < 2**31:
        raise InputError("Key_slice_index: expected a whole number from 0", kind="invalid_row")


def number_of(row: Row, column: str) -> float:
    """The one number of a cell; see `numbers_of`."""
    return numbers_of(row, column, 1)[0]


def numbers_of(row: Row, column: str, count: int) -> list[float]:
    """The numbers of a cell such as ``"1.5, 2"``; finite, and as many as expected.

    Raises:
        InputError: Others; they are not quoted.
    """
    try:
        values = [float(part) for part in row[column].split(",")]
    except ValueError:
        values = []
    if len(values) != count or not all(map(math.isfinite, values)):
        expected = "a number" if count == 1 else f"{count} numbers"
        raise InputError(f"{column}: expected {expected}", kind="invalid_row")
    return values
