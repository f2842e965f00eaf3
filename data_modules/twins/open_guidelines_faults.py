"""The open guidelines' twin with quirks and planted faults."""

from pathlib import Path
from typing import Any

from data_modules.open_guidelines import FILE
from data_modules.twins.faults import FaultyTwin
from data_modules.twins.open_guidelines import rows_of
from data_modules.twins.planting import LATIN_1, Sheet, write_lines

_KEYS: dict[str, tuple[str, Any]] = {
    "no source": ("source", ""),
    "no text": ("clean_text", None),
    "NaN text": ("clean_text", float("nan")),
    "headings only": ("clean_text", "# A\n## B\n"),
    "list instead of a title": ("title", ["a"]),
    "Latin-1": ("title", LATIN_1),
}
"""Fault of a row -> key, value."""

_QUIRKS = ("byte order mark", "an id", "no url", "a blank line")


def write_faults(root: Path, *, cases: int, seed: int) -> FaultyTwin:
    """Writes sound documents, quirks, and one document for each fault; units are records."""
    rows = rows_of(cases + len(_KEYS) + 1, seed)
    sheet = Sheet(FILE, first=1)
    for row in rows[:cases]:
        sheet.add(row)
    rows[0]["id"] = 17
    rows[-1].pop("url")
    for (fault, (key, value)), row in zip(_KEYS.items(), rows[cases:-1], strict=True):
        sheet.add({**row, key: value}, fault, "broken_guideline")
    sheet.add(rows[-1])
    sheet.add(rows[-1], "document twice", "repeated_guideline")
    sheet.add('{"source": "who"', "broken JSON", "broken_guideline")
    sheet.add([], "no object", "broken_guideline")
    write_lines(root / FILE, [*sheet.rows, ""], bom=True)
    return FaultyTwin(tuple(sheet.planted), "records", len(sheet.rows), _QUIRKS)
