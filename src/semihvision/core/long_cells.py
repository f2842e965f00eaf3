"""Tab-separated tables whose cells are far longer than Python's csv module takes: images in base64.

csv has one limit for the whole process. It is lifted for one row at a time, under a lock, so that
readers that take turns, or threads, never put back each other's.
"""

import csv
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, NamedTuple

from semihvision.core.errors import InputError, RefusalLog
from semihvision.core.reasons import in_words

MAX_CELL_CHARS = 1 << 27
_LOCK = threading.Lock()


class LongRow(NamedTuple):
    """One row: the byte it begins at, the line it ends on (from 1), its cells."""

    start: int
    line: int
    cells: list[str]


def long_rows(
    path: Path, columns: Sequence[str], refused: RefusalLog
) -> Iterator[tuple[int, dict[str, str]]]:
    """Line number and cells of every row; one of another length or encoding is refused.

    Args:
        path: UTF-8, with or without a byte order mark, separated by tabs.
        columns: Columns that must be there; others may be.
        refused: Where bad rows go.

    Raises:
        InputError: A column is missing, or the file is no readable table.
    """
    rows = _rows(path)
    first = next(rows, None)
    header = first.cells if first is not None else []
    missing = [name for name in columns if name not in header]
    if missing:
        raise InputError(f"{path}: no column {', '.join(missing)}; tab-separated?")
    for _, line, cells in rows:
        item = f"line {line}"
        if cells and len(cells) != len(header):
            reason = f"{len(cells)} cells, expected {len(header)}"
            refused.add(item, reason=reason, kind="broken_row", file=path.name)
        elif any(not cell.isascii() and _is_foreign(cell) for cell in cells):
            reason = "not UTF-8; save the table as UTF-8"
            refused.add(item, reason=reason, kind="encoding", file=path.name)
        elif cells:
            yield line, dict(zip(header, cells, strict=True))


def long_cell(path: Path, line: int, column: str) -> str:
    """One cell of a row.

    Args:
        path: As for `long_rows`.
        line: The line on which the row ends.
        column: Name of the column.

    Raises:
        InputError: There is no such row or column, or the file is unreadable.
    """
    stat = path.stat()
    header, starts = _index(path, stat.st_mtime_ns, stat.st_size)
    if column not in header or line not in starts:
        raise InputError(f"{path}: no column {column} or no row that ends on line {line}")
    found = next(_rows(path, starts[line]))
    place = header.index(column)
    if place >= len(found.cells):
        raise InputError(f"{path}, line {line}: no cell {column}", kind="broken_row")
    return found.cells[place]


@lru_cache(maxsize=8)
def _index(path: Path, _modified: int, _size: int) -> tuple[list[str], dict[int, int]]:
    """The header, and where the row begins that ends on a line."""
    rows = _rows(path)
    first = next(rows, None)
    return (first.cells if first else []), {row.line: row.start for row in rows}


def _rows(path: Path, start: int = 0) -> Iterator[LongRow]:
    try:
        with path.open("rb") as stream:
            stream.seek(start)
            table = csv.reader(_lines(stream), delimiter="\t", strict=True)
            while True:
                begins = stream.tell()
                with _long_cells():
                    cells = next(table, None)
                if cells is None:
                    return
                yield LongRow(begins, table.line_num, cells)
    except (csv.Error, OSError) as error:
        raise InputError(f"{path}: unreadable table ({in_words(error)})") from None


def _lines(stream: BinaryIO) -> Iterator[str]:
    """Lines of the text; bytes of another encoding become surrogates, so that they cost a row."""
    encoding = "utf-8-sig" if stream.tell() == 0 else "utf-8"
    for line in stream:
        yield line.decode(encoding, errors="surrogateescape")
        encoding = "utf-8"


@contextmanager
def _long_cells() -> Iterator[None]:
    with _LOCK:
        before = csv.field_size_limit(MAX_CELL_CHARS)
        try:
            yield
        finally:
            csv.field_size_limit(before)


def _is_foreign(cell: str) -> bool:
    try:
        cell.encode()
    except UnicodeEncodeError:
        return True
    return False
