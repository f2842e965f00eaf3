"""The augmented SemiHVision mix: Records of any sources, from Parquet files."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data_modules.base import RecordDataModule
from data_modules.record_files import records_of_files
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
        yield from records_of_files(self.record_files, self._roots)

    def roots(self) -> dict[str, Path]:
        """The configured roots."""
        return self._roots
