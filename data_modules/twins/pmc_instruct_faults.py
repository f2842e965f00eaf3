"""PMC-Instruct's twin with quirks and planted faults."""

from pathlib import Path
from typing import Any

from data_modules.pmc_instruct import FILE
from data_modules.twins.faults import FaultyTwin
from data_modules.twins.planting import LATIN_1, Sheet, write_array
from data_modules.twins.pmc_instruct import rows_of

_KEYS: dict[str, tuple[str, Any, str]] = {
    "no instruction": ("instruction", "", "invalid_row"),
    "no answer": ("output", None, "invalid_row"),
    "NaN answer": ("output", float("nan"), "invalid_row"),
    "list instead of an input": ("input", ["a"], "invalid_row"),
    "place for an image": ("instruction", "<image> Describe it.", "invalid_record"),
    "Latin-1": ("input", LATIN_1, "encoding"),
}
"""Fault of a row -> key, value, kind."""

_QUIRKS = ("byte order mark", "no input", "no source")


def write_faults(root: Path, *, cases: int, seed: int) -> FaultyTwin:
    """Writes sound rows, quirks, and one row for each fault; units are records (rows)."""
    rows = rows_of(cases + len(_KEYS) + 1, seed)
    sheet = Sheet(FILE, place="row", first=0)
    for row in rows[:cases]:
        sheet.add(row)
    rows[0]["input"] = ""
    rows[1].pop("source")
    spare = iter(rows[cases:])
    for fault, (key, value, kind) in _KEYS.items():
        sheet.add({**next(spare), key: value}, fault, kind)
    twice = next(spare)
    sheet.add(twice)
    sheet.add(twice, "row twice", "repeated_id")
    sheet.add('{"output" "x"}', "broken JSON", "broken_json")
    sheet.add(7, "no object", "broken_json")
    write_array(root / FILE, sheet.rows, bom=True)
    return FaultyTwin(tuple(sheet.planted), "records", len(sheet.rows), _QUIRKS)
