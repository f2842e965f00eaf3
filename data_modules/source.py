"""One source as a LightningDataModule: from its owner's own files or its annotated Records."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from data_modules.base import RecordDataModule
from data_modules.reading import reader_of
from data_modules.record_files import records_of_files
from semihvision.core.errors import InputError
from semihvision.core.record import Record


class SourceDataModule(RecordDataModule):
    """One source; each has a class of its own, made by `data_modules.__getattr__`.

    Args:
        root: Folder with the owner's files, as the source's module describes them.
        options: Options of the source's reader, e.g. `neighbours` of DeepLesion.
        records: Parquet files of this source's Records, as `semihvision prepare` and
            `semihvision annotate` write them; images are still read below `root`. None: the
            owner's files are read, which is enough where they hold texts.
        **settings: Those of `RecordDataModule`.

    Raises:
        InputError: Both `records` and `options`, which were set when they were prepared.
    """

    source: ClassVar[str] = ""

    def __init__(
        self,
        root: str,
        options: dict[str, Any] | None = None,
        records: list[str] | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        if records and options:
            raise InputError(
                f"options {options} of the reader beside `records`, which are read already; give "
                "them to `semihvision prepare`"
            )
        self.root = Path(root)
        self.options = options
        self.record_files = [Path(file) for file in records or ()]

    def records(self) -> Iterator[Record]:
        """Yields the records of the files, or those of the source's reader."""
        if self.record_files:
            yield from records_of_files(self.record_files, self.roots())
        else:
            yield from reader_of(self.source, self.options)(self.root, self.refused)

    def roots(self) -> dict[str, Path]:
        """The one root."""
        return {self.source: self.root}
