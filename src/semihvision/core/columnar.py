"""Rows of Parquet and Arrow files; cells of images are read again when they are needed."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from semihvision.core.errors import InputError
from semihvision.core.reasons import in_words

_DAMAGE = (OSError, pa.ArrowException)


class Place(NamedTuple):
    """Where a row stands: in which part (row group, record batch), and its number in the file."""

    part: int
    row: int
    number: int

    @property
    def item(self) -> str:
        """What the row is called in refused items, counted within its part from 0."""
        return f"part {self.part}, row {self.row}"


class _File(NamedTuple):
    """A file as it was when it was opened: one that has been replaced is another."""

    path: Path
    modified: int
    size: int


def table_rows(
    path: Path, columns: Sequence[str], *, also: Sequence[str] = ()
) -> Iterator[tuple[Place, dict[str, Any]]]:
    """Place and cells of each row, one part (row group, record batch) at a time.

    Args:
        path: Parquet, or Arrow's stream or file form (``.arrow``).
        columns: Columns that must be there.
        also: Columns that are read where they are there.

    Raises:
        InputError: The file is unreadable or lacks a column.
    """
    try:
        file = _file(path)
        names = _names(file)
        missing = [name for name in columns if name not in names]
        if missing:
            raise InputError(f"{path}: no column {', '.join(missing)}; found {', '.join(names)}")
        wanted = [*columns, *(name for name in also if name in names)]
        for part, before in enumerate(_starts(file)[:-1]):
            for row, cells in enumerate(_read(file, part, wanted).to_pylist()):
                yield Place(part, row, before + row), cells
    except _DAMAGE as error:
        raise InputError(f"{path}: unreadable table ({in_words(error)})") from None


def cell(path: Path, number: int, column: str) -> Any:
    """One cell of a row.

    Args:
        path: As for `table_rows`.
        number: Number of the row in the file, from 0.
        column: Name of the column.

    Raises:
        InputError: There is no such row or column, or the file is unreadable.
    """
    try:
        file = _file(path)
        starts = _starts(file)
        if number >= starts[-1] or column not in _names(file):
            raise InputError(f"{path}: no column {column} or no row {number}")
        part = bisect_right(starts, number) - 1
        columns = _columns(file, part)
        if column not in columns:
            columns[column] = _read(file, part, [column]).column(column)
        return columns[column][number - starts[part]].as_py()
    except _DAMAGE as error:
        raise InputError(f"{path}: unreadable table ({in_words(error)})") from None


@lru_cache(maxsize=2)
def _columns(_of: _File, _part: int) -> dict[str, pa.ChunkedArray]:
    """Read columns of a part: cells are asked for in the order of the rows, so the last is kept."""
    return {}


def _file(path: Path) -> _File:
    stat = path.stat()
    return _File(path, stat.st_mtime_ns, stat.st_size)


def _names(file: _File) -> list[str]:
    if file.path.suffix == ".arrow":
        return [name for batch in _batches(file)[:1] for name in batch.schema.names]
    return list(_parquet(file).schema_arrow.names)


@lru_cache(maxsize=64)
def _starts(file: _File) -> tuple[int, ...]:
    """Number of the first row of each part, and of all rows."""
    if file.path.suffix == ".arrow":
        sizes = [batch.num_rows for batch in _batches(file)]
    else:
        footer = _parquet(file).metadata
        sizes = [footer.row_group(part).num_rows for part in range(footer.num_row_groups)]
    return tuple(accumulate(sizes, initial=0))


def _read(file: _File, part: int, columns: list[str]) -> pa.Table:
    if file.path.suffix == ".arrow":
        return pa.Table.from_batches([_batches(file)[part]]).select(columns)
    return _parquet(file).read_row_group(part, columns=columns)


@lru_cache(maxsize=16)
def _batches(file: _File) -> list[pa.RecordBatch]:
    """All batches of an Arrow file; they stay on disk until their cells are looked at."""
    source = pa.memory_map(str(file.path))
    try:
        return list(pa.ipc.open_stream(source))
    except pa.ArrowInvalid:
        reader = pa.ipc.open_file(source)
        return [reader.get_batch(number) for number in range(reader.num_record_batches)]


@lru_cache(maxsize=8)
def _parquet(file: _File) -> pq.ParquetFile:
    return pq.ParquetFile(file.path)
