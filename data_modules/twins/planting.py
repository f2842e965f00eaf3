"""Tables of twins, sound and with planted faults: the rows, where each fault stands, the files."""

import codecs
import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from data_modules.twins.faults import (
    Planted,
    bomb,
    claimed,
    link_out,
    truncate,
    write_bomb,
    write_claimed,
)
from semihvision.core.files import open_atomically, write_text_atomically

IMAGE_FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "truncated image": (truncate, "unreadable_image"),
    "decompression bomb": (write_bomb, "image_too_large"),
    "4 GB claimed": (write_claimed, "image_too_large"),
    "link out of the root": (link_out, "path_outside_root"),
    "missing image": (Path.unlink, "missing_image"),
}
"""Fault of an image file -> what makes it of a sound one, and the kind."""

CELL_FAULTS: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "truncated image": (lambda data: data[: len(data) // 2], "unreadable_image"),
    "decompression bomb": (lambda data: bomb(), "image_too_large"),
    "4 GB claimed": (lambda data: claimed(), "image_too_large"),
    "no image": (lambda data: b"no image", "unreadable_image"),
}
"""Fault of an image inside a table -> what makes it of a sound one, and the kind."""

LATIN_1 = "\u00e9"
"""A letter that `spoil_letters` puts into Latin-1, which is not UTF-8."""


class Sheet:
    """Rows of one file, and the faults planted among them.

    Args:
        file: Its name below the root.
        place: What a row is called in refused items, ``line`` or ``row``.
        first: Number of the first row.
    """

    def __init__(self, file: str, *, place: str = "line", first: int = 2) -> None:
        self.file = file
        self.rows: list[Any] = []
        self.planted: list[Planted] = []
        self._place = place
        self._first = first

    def add(self, row: Any, fault: str = "", kind: str = "", lost: int = 1) -> None:
        """Adds a row; with `fault` one that must be refused."""
        if fault:
            item = f"{self._place} {self._first + len(self.rows)}"
            name = self.file.rpartition("/")[2]
            self.planted.append(Planted(fault, item, kind, name, lost))
        self.rows.append(row)


def plant_questions(
    sheet: Sheet,
    spare: Iterator[list[dict[str, Any]]],
    fields: Mapping[str, tuple[str, Any, str]],
    image_of: Callable[[dict[str, Any]], Path],
    *,
    needed: str,
) -> None:
    """Plants faults among questions that stand one a row of a JSON array.

    Args:
        sheet: Where they are added.
        spare: Images to spoil; of each all its questions.
        fields: Fault of one question -> field, value, kind; the other questions stay sound.
        image_of: File of the image of a question; spoilt, it costs all of its questions.
        needed: A field without which a row cannot be used.
    """
    for fault, (field, value, kind) in fields.items():
        first, *others = next(spare)
        sheet.add(first | {field: value}, fault, kind)
        for row in others:
            sheet.add(row)
    for fault, (spoil, kind) in IMAGE_FAULTS.items():
        about_one = next(spare)
        spoil(image_of(about_one[0]))
        for row in about_one:
            sheet.add(row, fault, kind)
    first, second, *_ = next(spare)
    sheet.add(first)
    sheet.add(first, "question twice", "repeated_id")
    without = {name: value for name, value in second.items() if name != needed}
    sheet.add(without, "field missing", "invalid_row")
    sheet.add("7", "a number instead of a question", "broken_json")


def write_csv(
    path: Path,
    columns: Sequence[str],
    rows: Sequence[Any],
    *,
    bom: bool = False,
    delimiter: str = ",",
) -> None:
    """Writes a table; a row that is a text is written as it stands."""
    with open_atomically(path) as stream:
        table = csv.writer(stream, delimiter=delimiter, lineterminator="\n")
        table.writerow(columns)
        for row in rows:
            if isinstance(row, str):
                stream.write(row + "\n")
            else:
                table.writerow(row)
    spoil_letters(path, bom=bom)


def write_lines(path: Path, rows: Sequence[Any], *, bom: bool = False) -> None:
    """Writes JSON lines; a row that is a text is written as it stands."""
    write_text_atomically(path, "".join(_json(row) + "\n" for row in rows))
    spoil_letters(path, bom=bom)


def write_array(path: Path, rows: Sequence[Any], *, bom: bool = False) -> None:
    """Writes one JSON array; a row that is a text is written as it stands."""
    write_text_atomically(path, "[\n" + ",\n".join(map(_json, rows)) + "\n]\n")
    spoil_letters(path, bom=bom)


def spoil_letters(path: Path, *, bom: bool) -> None:
    """Puts `LATIN_1` into Latin-1, and a byte order mark in front if asked for."""
    data = path.read_bytes().replace(LATIN_1.encode(), LATIN_1.encode("latin-1"))
    path.write_bytes(codecs.BOM_UTF8 + data if bom else data)


def _json(row: Any) -> str:
    return row if isinstance(row, str) else json.dumps(row, ensure_ascii=False)
