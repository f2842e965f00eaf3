"""LLaVA-Med's twin with quirks and planted faults."""

from pathlib import Path
from typing import Any

from data_modules.twins.faults import FaultyTwin
from data_modules.twins.llava_med import draw_rows, write_part
from data_modules.twins.planting import IMAGE_FAULTS, LATIN_1, Sheet

_KEYS: dict[str, tuple[str, Any, str]] = {
    "no image": ("image", None, "invalid_row"),
    "path outside of the root": ("image", "../../a.jpg", "path_outside_root"),
    "absolute path": ("image", "/a.jpg", "path_outside_root"),
    "text instead of a path": ("image", "Axial CT: a mass", "unusable_path"),
    "path of another kind": ("image", ["a.jpg"], "invalid_row"),
    "no turns": ("conversations", [], "turn_order"),
    "turn of nobody": ("conversations", [{"from": "nurse", "value": "x"}], "invalid_row"),
    "text instead of turns": ("conversations", "nan", "invalid_row"),
    "domain of another kind": ("domain", "mri", "invalid_row"),
    "text instead of an id": ("id", "a mass in the liver", "invalid_row"),
    "Latin-1": ("id", LATIN_1, "encoding"),
}
"""Fault of a row -> key, value, kind."""

_QUIRKS = ("byte order mark", "conversatons", "image after the question", "no domain", "no id")


def write_faults(root: Path, *, cases: int, seed: int) -> FaultyTwin:
    """Writes sound figures, quirks, and one figure for each fault; units are records (rows)."""
    rows = draw_rows(root, cases + len(_KEYS) + len(IMAGE_FAULTS) + 4, seed)
    sheet = Sheet("instruct/llava_med_instruct_60k.json", place="row", first=0)
    for _, row in rows[:cases]:
        sheet.add(row)
    del rows[0][1]["domain"], rows[1][1]["id"]
    spare = iter([row for _, row in rows[cases:]])
    for fault, (key, value, kind) in _KEYS.items():
        sheet.add({**next(spare), key: value}, fault, kind)
    for fault, (spoil, kind) in IMAGE_FAULTS.items():
        row = next(spare)
        spoil(root / "images" / row["image"])
        sheet.add(row, fault, kind)
    unshown, twice, shown, late = spare
    first = {"from": "human", "value": "<image> <image>"}
    sheet.add({**unshown, "conversations": [first, *unshown["conversations"][1:]]},
              "two places for one image", "placeholder_count")  # fmt: skip
    sheet.add("{'id': 1}", "broken JSON", "broken_json")
    sheet.add([], "no object", "broken_json")
    sheet.add(twice)
    sheet.add({**shown, "id": twice["id"]}, "id twice", "repeated_id")
    talk = late["conversations"]
    sheet.add({**late, "conversations": talk[:1]}, "question without an answer", "turn_order")
    greeted = [{"from": "gpt", "value": "Hello."}, *talk]
    sheet.add({**late, "conversations": greeted}, "answer in front", "leading_gpt_turn", lost=0)
    write_part(root, "instruct_60k", sheet.rows, bom=True)
    aligned = [row for row, _ in rows[:cases]]
    write_part(root, "alignment_500k", aligned)
    return FaultyTwin(tuple(sheet.planted), "records", len(sheet.rows) + cases, _QUIRKS)
