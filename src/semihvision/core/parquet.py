"""Records in Parquet: the Arrow schema, streaming read and write, and its version.

The schema is spelled out rather than inferred, so that an empty list has a type and a file written
today is read the same tomorrow. The version stands in the file's metadata.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from semihvision.core.errors import InputError
from semihvision.core.reasons import in_words
from semihvision.core.record import SCHEMA_VERSION, Record, invalid_reason

_VERSION_KEY = b"semihvision.record.version"
_DAMAGE = (pa.ArrowException, OSError, UnicodeDecodeError)
"""What pyarrow raises over a damaged file; its messages may quote the file."""
_STRINGS = pa.list_(pa.string())


def _struct(**fields: pa.DataType) -> pa.DataType:
    return pa.struct([pa.field(name, kind) for name, kind in fields.items()])


_IMAGE = _struct(
    image_id=pa.string(), path=pa.string(), format=pa.string(), sha256=pa.string(),
    width=pa.int32(), height=pa.int32(), depth=pa.int32(), axis=pa.string(), index=pa.int32(),
    rescale_slope=pa.float64(), rescale_intercept=pa.float64(), window_center=pa.float64(),
    window_width=pa.float64(), view=pa.string(), spacing_mm=pa.list_(pa.float64()),
    orientation=pa.string(),
    reading=pa.list_(_struct(name=pa.string(), value=pa.string())),
)  # fmt: skip
_REGION = _struct(
    region_id=pa.string(), image_id=pa.string(), box_xyxy=pa.list_(pa.float64()),
    slices=pa.list_(pa.int32()), mask_path=pa.string(), lines_xyxy=pa.list_(pa.list_(pa.float64())),
    label=pa.string(), drawn_by=pa.string(),
)  # fmt: skip
_LABEL = _struct(
    label_id=pa.string(), name=pa.string(), value=pa.string(), system=pa.string(),
    image_ids=_STRINGS, region_ids=_STRINGS,
)  # fmt: skip
_TEXT = _struct(
    text_id=pa.string(), kind=pa.string(), text=pa.string(), language=pa.string(),
    image_ids=_STRINGS, provenance_id=pa.string(), supersedes=pa.string(),
)  # fmt: skip
_QA = _struct(
    qa_id=pa.string(), question=pa.string(), answer=pa.string(), options=_STRINGS,
    answer_type=pa.string(), question_type=pa.string(),
    attributes=pa.list_(_struct(name=pa.string(), value=pa.string())), image_ids=_STRINGS,
    split=pa.string(),
    provenance_id=pa.string(), supersedes=pa.string(),
)  # fmt: skip
_CONVERSATION = _struct(
    conversation_id=pa.string(), turns=pa.list_(_struct(role=pa.string(), text=pa.string())),
    image_ids=_STRINGS, split=pa.string(), provenance_id=pa.string(), supersedes=pa.string(),
)  # fmt: skip
_PROVENANCE = _struct(
    provenance_id=pa.string(), parent_id=pa.string(), producer=pa.string(), model=pa.string(),
    prompt_hash=pa.string(),
    retrieved=pa.list_(
        _struct(ref=pa.string(), kind=pa.string(), score=pa.float64(), sources=_STRINGS)
    ),
    tokens_in=pa.int64(), tokens_out=pa.int64(), cost_usd=pa.float64(), created_at=pa.string(),
    gates=pa.list_(_struct(name=pa.string(), passed=pa.bool_(), detail=pa.string())),
    decision=pa.string(), subject_id=pa.string(),
)  # fmt: skip

SCHEMA = pa.schema(
    [
        pa.field("record_id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("split", pa.string()),
        pa.field("group_id", pa.string(), nullable=False),
        pa.field("images", pa.list_(_IMAGE)),
        pa.field("regions", pa.list_(_REGION)),
        pa.field("labels", pa.list_(_LABEL)),
        pa.field("modality", pa.string()),
        pa.field("body_part", pa.string()),
        pa.field("texts", pa.list_(_TEXT)),
        pa.field("qa", pa.list_(_QA)),
        pa.field("conversations", pa.list_(_CONVERSATION)),
        pa.field("provenance", pa.list_(_PROVENANCE)),
        pa.field("licence", _struct(name=pa.string(), url=pa.string(), conditions=_STRINGS)),
    ],
    metadata={_VERSION_KEY: str(SCHEMA_VERSION).encode()},
)


class RecordWriter:
    """Streams records into a Parquet file, which appears under its name only when complete.

    Use as a context manager; on an error the unfinished file is removed and an older file of that
    name stays untouched.
    """

    def __init__(self, path: Path, *, row_group_size: int = 1000) -> None:
        self._path = path
        self._partial = path.with_name(path.name + ".partial")
        self._row_group_size = row_group_size
        self._buffer: list[dict[str, Any]] = []
        self.count = 0

    def __enter__(self) -> "RecordWriter":
        self._path.parent.mkdir(parents=True, exist_ok=True)
        # Without checksums a damaged page may be read as other values.
        self._writer = pq.ParquetWriter(
            self._partial, SCHEMA, compression="zstd", write_page_checksum=True
        )
        return self

    def write(self, record: Record) -> None:
        """Appends one record."""
        self._buffer.append(record.model_dump())
        self.count += 1
        if len(self._buffer) >= self._row_group_size:
            self._flush()

    def _flush(self) -> None:
        if self._buffer:
            self._writer.write_table(pa.Table.from_pylist(self._buffer, schema=SCHEMA))
            self._buffer.clear()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            with self._writer:
                if kind is None:
                    self._flush()
            if kind is None:
                self._partial.replace(self._path)
        finally:
            self._partial.unlink(missing_ok=True)


def write_records(path: Path, records: Iterable[Record]) -> int:
    """Writes all records to `path` and returns how many there were."""
    with RecordWriter(path) as writer:
        for record in records:
            writer.write(record)
    return writer.count


def read_records(path: Path, *, batch_size: int = 256) -> Iterator[Record]:
    """Yields the records of a Parquet file one by one, in file order.

    Raises:
        InputError: The file is absent, no Parquet file, damaged, of another schema version, or a
            row does not validate (the row number is named, its content is not).
    """
    for row, values in enumerate(_rows(path, batch_size)):
        try:
            record = Record.model_validate(values)
        except ValidationError as error:
            reason = invalid_reason(error)
            raise InputError(f"{path}, row {row}: not a valid record ({reason})") from None
        yield record


def _rows(path: Path, batch_size: int) -> Iterator[dict[str, Any]]:
    row, parquet, found = 0, _open(path), "fewer rows than it states"
    try:
        for batch in parquet.iter_batches(batch_size=batch_size):
            values = batch.to_pylist()
            yield from values
            row += len(values)
    except _DAMAGE as error:
        found = in_words(error)
    else:
        if row == parquet.metadata.num_rows:
            return
    raise InputError(
        f"{path}: damaged after row {row} ({found}); copy it again from where it came, or run "
        "`semihvision prepare` again"
    )


def count_records(path: Path) -> int:
    """Number of records in a Parquet file, read from its footer."""
    return int(_open(path).metadata.num_rows)


def _open(path: Path) -> pq.ParquetFile:
    if not path.is_file():
        raise InputError(f"{path}: no such file; make it with `semihvision prepare`")
    try:
        parquet = pq.ParquetFile(path, page_checksum_verification=True)
        found = (parquet.schema_arrow.metadata or {}).get(_VERSION_KEY, b"none").decode()
    except _DAMAGE as error:
        raise InputError(f"{path}: not a readable Parquet file ({in_words(error)})") from None
    if found != str(SCHEMA_VERSION):
        raise InputError(
            f"{path}: record schema version {found}, expected {SCHEMA_VERSION}; "
            "run `semihvision prepare` again with this version of the software"
        )
    return parquet
