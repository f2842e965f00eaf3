"""Rows of tables in JSON, JSON lines and CSV; one broken row is refused, the rest goes on."""

import csv
import gzip
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

from semihvision.core.errors import InputError, RefusalLog
from semihvision.core.json_files import parse_json, read_json


def required_file(root: Path, *names: str) -> Path:
    """The first of `names` that exists below `root`.

    Raises:
        InputError: None of them exists.
    """
    for name in names:
        if (root / name).is_file():
            return root / name
    raise InputError(f"{root}: no file {' or '.join(names)}; see the expected tree of this source")


def json_rows(path: Path) -> list[Any]:
    """The rows of a JSON array.

    Raises:
        InputError: The file is unreadable or no JSON array.
    """
    rows = read_json(path)
    if not isinstance(rows, list):
        raise InputError(f"{path}: found a JSON {type(rows).__name__}, expected an array of rows")
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
                reason = f"found a JSON {type(row).__name__}, expected an object"
                refused.add(f"line {number}", reason=reason, kind="broken_json", file=path.name)


def csv_rows(
    path: Path, columns: Sequence[str], refused: RefusalLog
) -> Iterator[tuple[int, dict[str, str]]]:
    """Line number and cells of every row of a CSV file, plain or gzip-compressed.

    A row with more or fewer cells than the header is refused.

    Args:
        path: The file; UTF-8, with or without a byte order mark.
        columns: Columns that must be there; others may be.
        refused: Where bad rows go.

    Raises:
        InputError: A column is missing, or the file is no readable table.
    """
    with _open_text(path) as stream:
        table = csv.reader(stream, strict=True)
        try:
            header = next(table, [])
            missing = [name for name in columns if name not in header]
            if missing:
                raise InputError(
                    f"{path}: no column {', '.join(missing)}; found a first line of "
                    f"{len(header)} cells, expected a header with these columns"
                )
            for cells in table:
                if len(cells) == len(header):
                    yield table.line_num, dict(zip(header, cells, strict=True))
                elif cells:
                    reason = f"{len(cells)} cells, expected {len(header)}"
                    item = f"line {table.line_num}"
                    refused.add(item, reason=reason, kind="broken_row", file=path.name)
        except (csv.Error, UnicodeDecodeError, EOFError, OSError) as error:
            kind = type(error).__name__
            raise InputError(f"{path}, line {table.line_num}: unreadable table ({kind})") from None


def _open_text(path: Path) -> TextIO:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")
