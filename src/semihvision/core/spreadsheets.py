"""Rows of a sheet in an Excel workbook (.xlsx), as texts; only what tables of data need.

A workbook is a ZIP file of XML (ECMA-376, part 1, 18.2-18.4): names of sheets, texts that cells
share, and one file a sheet. Formulas give their stored value; dates stay numbers of days, so a
reader that expects a date as text refuses them by their form.
"""

import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.etree import ElementTree

from semihvision.core.errors import InputError, RefusalLog
from semihvision.core.reasons import in_words

MAX_BYTES = 2**28
"""Of one part of the workbook, unpacked; more is refused before it is unpacked."""

_MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_ID = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
_DAMAGE = (
    zipfile.BadZipFile, ElementTree.ParseError, zlib.error, KeyError, IndexError, ValueError,
    EOFError, OSError, NotImplementedError, RuntimeError,
)  # fmt: skip


def sheet_rows(
    path: Path, sheet: str, columns: Sequence[str], refused: RefusalLog
) -> Iterator[tuple[int, dict[str, str]]]:
    """Row number (from 1) and cells of every row below the header; empty rows are passed over.

    A row with more cells than the header is refused; cells that are not there are empty.

    Args:
        path: The workbook.
        sheet: Name of the sheet; its first row is the header.
        columns: Columns that must be there, once; others may be.
        refused: Where bad rows go.

    Raises:
        InputError: The workbook is unreadable, or sheet or column are missing.
    """
    try:
        with zipfile.ZipFile(path) as book:
            rows = list(_rows(book, _part_of(book, path, sheet)))
    except InputError:
        raise
    except _DAMAGE as error:
        raise InputError(f"{path}: no workbook that can be read ({in_words(error)})") from None
    header = [name.strip() for name in rows[0][1]] if rows else []
    wrong = [name for name in columns if header.count(name) != 1]
    if wrong:
        raise InputError(
            f"{path}: column {', '.join(wrong)} not there or there twice; found a first row of "
            f"{len(header)} cells"
        )
    for number, cells in rows[1:]:
        if len(cells) > len(header):
            reason = f"{len(cells)} cells, expected {len(header)}"
            refused.add(f"row {number}", reason=reason, kind="broken_row", file=path.name)
        elif any(cells):
            filled = [*cells, *[""] * (len(header) - len(cells))]
            yield number, dict(zip(header, filled, strict=True))


def _part_of(book: zipfile.ZipFile, path: Path, sheet: str) -> str:
    """Name of the part that holds a sheet."""
    sheets = {
        one.get("name", ""): one.get(_ID, "")
        for one in _parsed(book, "xl/workbook.xml").iter(f"{_MAIN}sheet")
    }
    if sheet not in sheets:
        raise InputError(f"{path}: no sheet {sheet} among its {len(sheets)}")
    targets = {
        one.get("Id", ""): one.get("Target", "")
        for one in _parsed(book, "xl/_rels/workbook.xml.rels")
    }
    target = targets[sheets[sheet]]
    return target[1:] if target.startswith("/") else f"xl/{target}"


def _rows(book: zipfile.ZipFile, part: str) -> Iterator[tuple[int, list[str]]]:
    shared = []
    if "xl/sharedStrings.xml" in book.namelist():
        found = _parsed(book, "xl/sharedStrings.xml").iter(f"{_MAIN}si")
        shared = [_text(item) for item in found]
    for number, row in enumerate(_parsed(book, part).iter(f"{_MAIN}row"), start=1):
        cells: list[str] = []
        for cell in row.iter(f"{_MAIN}c"):
            place = _column(cell.get("r", ""), len(cells))
            cells += [""] * (place - len(cells))
            cells.append(_value(cell, shared))
        while cells and not cells[-1]:
            cells.pop()
        yield int(row.get("r", number)), cells


def _column(reference: str, default: int) -> int:
    """Column of a cell from 0, e.g. 27 for ``AB7``."""
    letters = re.match("[A-Z]{1,3}", reference)
    if letters is None:
        return default
    column = 0
    for letter in letters[0]:
        column = 26 * column + ord(letter) - ord("A") + 1
    return column - 1


def _value(cell: ElementTree.Element, shared: list[str]) -> str:
    """A cell's text or number as it is written; errors such as ``#N/A`` say nothing."""
    kind = cell.get("t", "n")
    if kind == "inlineStr":
        return _text(cell)
    value = cell.findtext(f"{_MAIN}v", "")
    if kind == "s":
        return shared[int(value)]
    return "" if kind == "e" else value.strip()


def _text(item: ElementTree.Element) -> str:
    return "".join(part.text or "" for part in item.iter(f"{_MAIN}t")).strip()


def _parsed(book: zipfile.ZipFile, part: str) -> ElementTree.Element:
    size = book.getinfo(part).file_size
    if size > MAX_BYTES:
        raise InputError(
            f"{book.filename}: a part of {size} bytes; at most {MAX_BYTES} are read",
            kind="unusable",
        )
    data = book.read(part)
    if b"<!DOCTYPE" in data:  # nobody needs one here, and entities can be made to explode
        raise InputError(f"{book.filename}: XML with a document type; export the sheet again")
    return ElementTree.fromstring(data)
