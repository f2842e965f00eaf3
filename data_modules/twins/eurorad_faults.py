"""Eurorad's twin with quirks and planted faults."""

from pathlib import Path
from typing import Any

from data_modules.twins.eurorad import draw_cases
from data_modules.twins.faults import FaultyTwin, Planted
from data_modules.twins.planting import IMAGE_FAULTS, LATIN_1, write_lines

_KEYS: dict[str, tuple[str, Any, str]] = {
    "before the open licence": ("date", "2015-07-05", "too_old"),
    "no date": ("date", None, "no_date"),
    "German date": ("date", "04.03.2021", "no_date"),
    "date without hyphens": ("date", "20210304", "no_date"),
    "date of no calendar": ("date", "2021-02-30", "no_date"),
    "NaN text": ("discussion", float("nan"), "invalid_row"),
    "path instead of images": ("images", "images/90001_1.png", "invalid_row"),
}
"""Fault of a case -> key, value, kind."""

_PATHS = {
    "path outside of the root": ("../../a.png", "path_outside_root"),
    "absolute path": ("/a.png", "path_outside_root"),
    "text instead of a path": ("MRI: a mass", "unusable_path"),
}
_QUIRKS = ("byte order mark", "first open day", "texts missing", "no caption", "case_id as text")


def write_faults(root: Path, *, cases: int, seed: int) -> FaultyTwin:
    """Writes sound cases, quirks, and one case for each fault; units are images."""
    rows = draw_cases(root, cases + len(_KEYS) + len(_PATHS) + len(IMAGE_FAULTS) + 3, seed)
    found = sum(len(row["images"]) for row in rows)
    rows[0] |= {"date": "2015-07-06", "clinical_history": "", "case_id": str(rows[0]["case_id"])}
    rows[0]["images"][0].pop("caption")
    planted: list[Planted] = []

    def plant(fault: str, item: str, kind: str, lost: int) -> None:
        planted.append(Planted(fault, item, kind, "cases.jsonl", lost))

    spare = iter(rows[cases:])
    for fault, (key, value, kind) in _KEYS.items():
        row = next(spare)
        plant(fault, f"case {row['case_id']}", kind, len(row["images"]))
        row[key] = value
    for fault, (path, kind) in _PATHS.items():
        row = next(spare)
        plant(fault, f"case {row['case_id']}, image 1", kind, 1)
        row["images"][0]["file"] = path
    for fault, (spoil, kind) in IMAGE_FAULTS.items():
        row = next(spare)
        plant(fault, f"case {row['case_id']}, image 1", kind, 1)
        spoil(root / row["images"][0]["file"])
    latin, nameless, twice = spare
    plant("Latin-1", f"line {rows.index(latin) + 1}", "broken_json", len(latin["images"]))
    latin["title"] = LATIN_1
    plant("no case_id", f"line {rows.index(nameless) + 1}", "invalid_row", len(nameless["images"]))
    nameless["case_id"] = ""
    plant("case twice", f"case {twice['case_id']}", "repeated_id", len(twice["images"]))
    plant("broken JSON", f"line {len(rows) + 2}", "broken_json", 0)
    write_lines(root / "cases.jsonl", [*rows, twice, '{"case_id": 1'], bom=True)
    return FaultyTwin(tuple(planted), "images", found + len(twice["images"]), _QUIRKS)
