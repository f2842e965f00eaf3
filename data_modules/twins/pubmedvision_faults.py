"""PubMedVision's twin with quirks and planted faults."""

from pathlib import Path
from typing import Any

from data_modules.pubmedvision import FILES
from data_modules.twins.faults import FaultyTwin
from data_modules.twins.planting import IMAGE_FAULTS, LATIN_1, Sheet, write_array
from data_modules.twins.pubmedvision import draw_rows

_KEYS: dict[str, tuple[str, Any, str]] = {
    "one path instead of a list": ("image", "images/pmc_1_0.jpg", "invalid_row"),
    "no paths": ("image", [], "invalid_row"),
    "path outside of the root": ("image", ["../../a.jpg"], "path_outside_root"),
    "absolute path": ("image", ["/a.jpg"], "path_outside_root"),
    "text instead of a path": ("image", ["CT: a mass"], "unusable_path"),
    "no turns": ("conversations", None, "invalid_row"),
    "turn without text": ("conversations", [{"from": "human", "value": "What?"},
                                            {"from": "gpt", "value": " "}], "invalid_row"),
    "NaN modality": ("modality", float("nan"), "invalid_row"),
    "no id": ("id", None, "invalid_row"),
    "Latin-1": ("body_part", LATIN_1, "encoding"),
}  # fmt: skip
"""Fault of a row -> key, value, kind."""

_QUIRKS = ("byte order mark", "two images", "unknown modality", "no labels")


def write_faults(root: Path, *, cases: int, seed: int) -> FaultyTwin:
    """Writes sound rows, quirks, and one row for each fault; units are records (rows)."""
    rows = draw_rows(root, cases + len(_KEYS) + len(IMAGE_FAULTS) + 2, seed)
    sheet = Sheet(FILES["alignment"], place="row", first=0)
    for row, _ in rows[:cases]:
        sheet.add(row)
    rows[0][0]["modality"] = "Something else"
    rows[1][0].pop("body_part")
    spare = iter([row for row, _ in rows[cases:]])
    for fault, (key, value, kind) in _KEYS.items():
        sheet.add({**next(spare), key: value}, fault, kind)
    for fault, (spoil, kind) in IMAGE_FAULTS.items():
        row = next(spare)
        spoil(root / row["image"][-1])
        sheet.add(row, fault, kind)
    once, twice = spare
    sheet.add(once)
    sheet.add({**twice, "id": once["id"]}, "id twice", "repeated_id")
    sheet.add('{"id": "x", "image"}', "broken JSON", "broken_json")
    write_array(root / sheet.file, sheet.rows, bom=True)
    write_array(root / FILES["instruction"], [row for _, row in rows[:cases]])
    return FaultyTwin(tuple(sheet.planted), "records", len(sheet.rows) + cases, _QUIRKS)
