"""The augmented SemiHVision mix: Records of any sources, from Parquet files."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data_modules.base import RecordDataModule
from semihvision.core.errors import InputError
from semihvision.core.parquet import read_records
from semihvision.core.record import Record


class SemiHVisionDataModule(RecordDataModule):
    """Records from Parquet, as `semihvision prepare` and `semihvision annotate` write them.

    Args:
        records: Parquet files.
        roots: Source name -> folder its image paths are relative to.
        **settings: Those of `RecordDataModule`.
    """

    def __init__(self, records: list[str], roots: dict[str, str], **settings: Any) -> None:
        super().__init__(**settings)
        self.record_files = [Path(file) for file in records]
        self._roots = {source: Path(folder) for source, folder in roots.items()}

    def records(self) -> Iterator[Record]:
        """Yields the records of all files; ids must not repeat across files."""
        seen: dict[str, Path] = {}
        for file in self.record_files:
            for record in read_records(file):
                if record.record_id in seen:
                    raise InputError(
                        f"{file}: record {record.record_id!r} is already in "
                        f"{seen[record.record_id]}; leave one of the files out"
                    )
                if record.source not in self._roots:
                    raise InputError(
                        f"{file}: source {record.source!r} has no entry in roots; "
                        f"known: {sorted(self._roots)}"
                    )
                seen[record.record_id] = file
                yield record

    def roots(self) -> dict[str, Path]:
        """The configured roots."""
        return self._roots
