"""Records of several Parquet files as one set of data."""

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from semihvision.core.errors import InputError
from semihvision.core.parquet import read_records
from semihvision.core.record import Record


def records_of_files(files: Iterable[Path], sources: Collection[str]) -> Iterator[Record]:
    """Yields the records of all files.

    Args:
        files: Parquet files of Records.
        sources: Sources whose images can be found.

    Raises:
        InputError: A file cannot be read, a record id is in two files, or a source has no root.
    """
    seen: dict[str, Path] = {}
    for file in files:
        for record in read_records(file):
            if record.record_id in seen:
                raise InputError(
                    f"{file}: record {record.record_id!r} is already in "
                    f"{seen[record.record_id]}; leave one of the files out"
                )
            if record.source not in sources:
                raise InputError(
                    f"{file}: source {record.source!r} has no entry in roots; "
                    f"known: {sorted(sources)}"
                )
            seen[record.record_id] = file
            yield record
