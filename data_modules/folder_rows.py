"""The rows of a folder's own table that can be used, by record."""

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from data_modules.column_map import ColumnMap
from semihvision.core.errors import InputError, RefusalLog
from semihvision.core.tables import csv_rows, jsonl_rows

_ID = re.compile(r"[\w .:/+-]{1,128}")
Cells = dict[str, str]


class Row(NamedTuple):
    """A usable row: its place, its cells, and our words for those of closed fields."""

    item: str
    path: str
    cells: Cells
    about: tuple[str, ...]


def rows_by_record(
    table: Path, mapped: ColumnMap, refused: RefusalLog, own: set[str]
) -> dict[str, list[Row]]:
    """The usable rows of each record, in the order of the table.

    Args:
        table: CSV or JSON lines.
        mapped: What its columns mean.
        refused: Gets rows that cannot be used, with the reason.
        own: Gets every path that the table names.
    """
    together: dict[str, list[Row]] = {}
    for item, cells in _rows(table, mapped, refused):
        try:
            row = _usable(item, cells, mapped, own)
            known = together.setdefault(mapped.cell(cells, mapped.record) or row.path, [])
            if known and known[0].about != row.about:
                what = "group, split, modality or body part"
                raise InputError(f"another {what} than its record", kind="contradicting_rows")
            if any(one.cells == row.cells for one in known):
                raise InputError("the row is there already", kind="repeated_id")
        except InputError as error:
            refused.add(item, reason=str(error), kind=error.kind, file=table.name)
        else:
            known.append(row)
    return {name: rows for name, rows in together.items() if rows}


def _rows(table: Path, mapped: ColumnMap, refused: RefusalLog) -> Iterator[tuple[str, Cells]]:
    if table.suffix != ".jsonl":
        found = csv_rows(
            table, mapped.columns(), refused, delimiter=mapped.delimiter, encoding=mapped.encoding
        )
        yield from ((f"line {line}", cells) for line, cells in found)
        return
    for line, row in jsonl_rows(table, refused):
        values = {name: row.get(name) for name in mapped.columns()}
        if all(value is None or isinstance(value, str | int | float) for value in values.values()):
            yield f"line {line}", {k: "" if v is None else str(v) for k, v in values.items()}
        else:
            reason = "a list or object where a text or number is expected"
            refused.add(f"line {line}", reason=reason, kind="invalid_row", file=table.name)


def _usable(item: str, cells: Cells, mapped: ColumnMap, own: set[str]) -> Row:
    """A row whose cells can be used by themselves; its image is not looked at yet."""
    path = mapped.cell(cells, mapped.image)
    if not path:
        raise InputError("no image", kind="invalid_row")
    own.add(PurePosixPath(path).as_posix())
    for name in ("record", "group"):
        text = mapped.cell(cells, getattr(mapped, name))
        if text and not _ID.fullmatch(text):
            raise InputError(f"{name}: expected at most 128 letters and digits", kind="invalid_row")
    if bool(mapped.cell(cells, mapped.question)) != bool(mapped.cell(cells, mapped.answer)):
        raise InputError("question and answer: one is missing", kind="invalid_row")
    group = mapped.cell(cells, mapped.group) or path.split("/")[0]
    words = (mapped.word(cells, field) for field in ("split", "modality", "body_part"))
    return Row(item, path, cells, (group, *words))
