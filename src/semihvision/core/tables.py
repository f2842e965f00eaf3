"""Rows of tables in JSON, JSON lines and CSV; one broken row is refused, the rest goes on."""

import csv
import gzip
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from semihvision.core.errors import InputError, RefusalLog
from semihvision.core.json_files import parse_json, read_json
from semihvision.core.reasons import in_words, json_kind


def required_file(root: Path, *names: str) -> Path:
    """The first of `names` that exists below `root`.

    Raises:
        InputError: None of them exists.
    """
    for name in names:
        if (root / name).is_file():
            return root / name
    raise InputError(
        f"{root}: no file {' or '.join(names)}; `semihvision doctor NAME` lists a source's files"
    )


def json_rows(path: Path) -> list[Any]:
    """The rows of a JSON array.

    Raises:
        InputError: The file is unreadable or no JSON array.
    """
    rows = read_json(path)
    if not isinstance(rows, list):
        raise InputError(f"{path}: found {json_kind(rows)}, expected an array of rows")
    return rows


def jsonl_rows(path: Path, refused: RefusalLog) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line number (from 1) and object of every line of a JSON-lines file; blank lines are skipped.

    A broken line, or one that holds no object, is refused.
    """
    with path.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            if not line.strip():
                continue
            try:
                row = parse_json(line.decode("utf-8-sig"))
            except ValueError as error:
                reason = f"not JSON: {error}"
                refused.add(f"line {number}", reason=reason, kind="broken_json", file=path.name)
                continue
            if isinstance(row, dict):
                yield number, row
            else:
                reason = f"found {json_kind(row)}, expected an object"
                refused.add(f"line {number}", reason=reason, kind="broken_json", file=path.name)


def csv_rows(
    path: Path,
    columns: Sequence[str],
    refused: RefusalLog,
    *,
    spellings: Mapping[str, str] | None = None,
    delimiter: str = ",",
    encoding: str = "utf-8-sig",
) -> Iterator[tuple[int, dict[str, str]]]:
    """Line number and cells of every row of a CSV file, plain or gzip-compressed.

    A row with more or fewer cells than the header is refused, and so is one of another encoding.

    Args:
        path: The file.
        columns: Columns that must be there; others may be.
        refused: Where bad rows go.
        spellings: Other names that columns have in some releases -> the names above.
        delimiter: One character between cells.
        encoding: Python's name of the encoding; the default takes a byte order mark or none.

    Raises:
        InputError: A column is missing or there twice, or the file is no readable table.
    """
    asked = "UTF-8" if encoding == "utf-8-sig" else encoding
    with _open_text(path, encoding) as stream:
        table = csv.reader(stream, delimiter=delimiter, strict=True)
        try:
            header = [(spellings or {}).get(name, name) for name in next(table, [])]
            missing = [name for name in columns if name not in header]
            if missing:
                raise InputError(
                    f"{path}: no column {', '.join(missing)}; found a first line of "
                    f"{len(header)} cells, expected a header with these columns in {asked}, "
                    f"separated by {'commas' if delimiter == ',' else repr(delimiter)}"
                )
            repeated = [name for name in columns if header.count(name) > 1]
            if repeated:
                raise InputError(f"{path}: more than one column {', '.join(repeated)}; keep one")
            for cells in table:
                item = f"line {table.line_num}"
                if cells and len(cells) != len(header):
                    reason = f"{len(cells)} cells, expected {len(header)}"
                    refused.add(item, reason=reason, kind="broken_row", file=path.name)
                elif not _is_text(cells):
                    reason = f"not {asked}; save the table as {asked}"
                    refused.add(item, reason=reason, kind="encoding", file=path.name)
                elif cells:
                    yield table.line_num, dict(zip(header, cells, strict=True))
        except csv.Error as error:
            # csv's own messages name the rule that was broken and never the text.
            raise InputError(
                f"{path}, line {table.line_num}: unreadable table ({error}); expected quotation "
                "marks in pairs: look at this line and the ones before it"
            ) from None
        except (EOFError, OSError, zlib.error) as error:
            raise InputError(
                f"{path}, line {table.line_num}: unreadable table ({in_words(error)}); fetch the "
                "file again"
            ) from None


def _open_text(path: Path, encoding: str) -> TextIO:
    """Bytes of another encoding become surrogates, so that they cost their row and no more."""
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding=encoding, errors="surrogateescape", newline="")
    return path.open(encoding=encoding, errors="surrogateescape", newline="")


def _is_text(cells: list[str]) -> bool:
    try:
        return all(cell.isascii() or cell.encode() for cell in cells)
    except UnicodeEncodeError:
        return False
