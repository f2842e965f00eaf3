"""Rows of one large JSON array (or of JSON lines), one at a time, so that memory stays flat.

Several owners ship one array of 700 MB. Rows are found by their brackets and quotation marks and
parsed one by one: a broken row costs itself and no other, and no more than one is held.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from semihvision.core.errors import InputError, RefusalLog
from semihvision.core.json_files import parse_json
from semihvision.core.reasons import json_kind
from semihvision.core.tables import jsonl_rows

_CHUNK_CHARS = 1 << 20
MAX_ROW_CHARS = 1 << 24
"""Longest row; a file without a closing quotation mark would be read to its end otherwise."""

_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|(?P<unclosed>")|[\[\]{}]', re.DOTALL)
_BETWEEN = " \t\r\n"


def object_rows(path: Path, refused: RefusalLog) -> Iterator[tuple[str, dict[str, Any]]]:
    """Place (``row 0``, ``line 1``) and object of each row of a JSON array or of JSON lines.

    Args:
        path: UTF-8, with or without a byte order mark; an array if it begins with ``[``.
        refused: Gets rows that are broken, not UTF-8 or no objects.

    Raises:
        InputError: The file is unreadable, or begins with neither ``[`` nor ``{``.
    """
    first = _first_character(path)
    if first == "{":
        yield from ((f"line {number}", row) for number, row in jsonl_rows(path, refused))
        return
    if first != "[":
        raise InputError(f"{path}: expected a JSON array of rows, or JSON lines")
    with path.open(encoding="utf-8-sig", errors="surrogateescape") as stream:
        for number, text in enumerate(_elements(stream)):
            item = f"row {number}"
            try:
                yield item, _object(text)
            except InputError as error:
                refused.add(item, reason=str(error), kind=error.kind, file=path.name)


def _first_character(path: Path) -> str:
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as stream:
            while (character := stream.read(1)) and character in _BETWEEN:
                pass
            return character
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None


def _object(text: str | None) -> dict[str, Any]:
    if text is None:
        raise InputError("the file ends, or never closes a text, in this row", kind="broken_json")
    try:
        text.encode()
        row = parse_json(text)
    except UnicodeEncodeError:
        raise InputError("not UTF-8; save the file as UTF-8", kind="encoding") from None
    except ValueError as error:
        raise InputError(f"not JSON: {error}", kind="broken_json") from None
    if not isinstance(row, dict):
        raise InputError(f"found {json_kind(row)}, expected an object", kind="broken_json")
    return row


def _elements(stream: TextIO) -> Iterator[str | None]:
    """Texts of the elements of an array; None for one that the file does not finish."""
    buffer, scanned, done, depth = "", 0, 0, 0
    while len(buffer) < MAX_ROW_CHARS and (chunk := stream.read(_CHUNK_CHARS)):
        buffer += chunk
        for token in _TOKEN.finditer(buffer, scanned):
            if token["unclosed"]:
                break
            scanned = token.end()
            opens, closes = token[0] in "[{", token[0] in "]}"
            if depth == 1:
                yield from _bare(buffer[done : token.start()])
                done = token.start() if opens else scanned
                if not (opens or closes):
                    yield token[0]
            depth += opens - closes
            if closes and depth == 1:
                yield buffer[done:scanned]
                done = scanned
            elif depth == 0:
                return
            elif opens and depth == 1:
                done = scanned
        buffer, scanned, done = buffer[done:], scanned - done, 0
    yield None


def _bare(text: str) -> Iterator[str]:
    """Elements without brackets: numbers, texts, null."""
    for part in text.split(","):
        if part.strip(_BETWEEN):
            yield part
