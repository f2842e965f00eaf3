"""Rows of Parquet and Arrow files; cells of images are read again when they are needed."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from semihvision.core.errors import InputError


class Place(NamedTuple):
    """Where a row stands."""

    path: Path
    part: int
    row: int

    @property
    def item(self) -> str:
        """What the row is called in refused items, counted within its part from 0."""
        return f"part {self.part}, row {self.row}"


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
    names, parts = _shape(path)
    missing = [name for name in columns if name not in names]
    if missing:
        raise InputError(f"{path}: no column {', '.join(missing)}; found {', '.join(names)}")
    wanted = (*columns, *(name for name in also if name in names))
    for part in range(parts):
        rows = _part(path, part, wanted).to_pylist()
        for row, cells in enumerate(rows):
            yield Place(path, part, row), cells


def cell(place: Place, column: str) -> Any:
    """One cell of a row."""
    return _part(place.path, place.part, (column,)).column(column)[place.row].as_py()


def _shape(path: Path) -> tuple[list[str], int]:
    """Names of the columns and number of parts."""
    try:
        if path.suffix == ".arrow":
            batches = _batches(path)
            return (list(batches[0].schema.names) if batches else []), len(batches)
        file = pq.ParquetFile(path)
        return list(file.schema_arrow.names), file.num_row_groups
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path}: unreadable table ({type(error).__name__})") from None


@lru_cache(maxsize=16)
def _batches(path: Path) -> list[pa.RecordBatch]:
    """All batches of an Arrow file; they stay on disk until their cells are looked at."""
    source = pa.memory_map(str(path))
    try:
        return list(pa.ipc.open_stream(source))
    except pa.ArrowInvalid:
        reader = pa.ipc.open_file(source)
        return [reader.get_batch(number) for number in range(reader.num_record_batches)]


@lru_cache(maxsize=2)
def _part(path: Path, part: int, columns: tuple[str, ...]) -> pa.Table:
    """Questions are asked in the order of the rows, so the part read last is the one needed."""
    if path.suffix == ".arrow":
        return pa.Table.from_batches([_batches(path)[part]]).select(list(columns))
    return pq.ParquetFile(path).read_row_group(part, columns=list(columns))
