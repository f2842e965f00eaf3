"""JAMA's twin with quirks and planted faults, in our form of the scrape."""

from pathlib import Path
from typing import Any

from data_modules.twins.faults import FaultyTwin, Planted
from data_modules.twins.jama import demo_rows
from data_modules.twins.planting import IMAGE_FAULTS, LATIN_1, write_lines

_KEYS: dict[str, tuple[str, Any, str]] = {
    "no question": ("question", " ", "invalid_record"),
    "NaN question": ("question", float("nan"), "invalid_record"),
    "option missing": ("opc", None, "options"),
    "answer of no option": ("answer", "none of these", "answer"),
    "letter of no option": ("answer_idx", "E", "answer"),
    "place of no option": ("answer_idx", 9, "answer"),
    "path instead of images": ("images", "images/demo-01.png", "invalid_row"),
    "path outside of the root": ("images", ["../../a.png"], "path_outside_root"),
    "absolute path": ("images", ["/a.png"], "path_outside_root"),
    "text instead of a path": ("images", ["A rash: see text"], "unusable_path"),
}
"""Fault of a case -> key, value, kind."""

_QUIRKS = (
    "byte order mark", "letters in options", "answer_idx as a place", "no images", "no id",
    "no diagnosis",
)  # fmt: skip


def write_faults(root: Path, *, cases: int, seed: int) -> FaultyTwin:
    """Writes sound cases, quirks, and one case for each fault; units are records."""
    rows = demo_rows(root, cases + 2 * (len(_KEYS) + len(IMAGE_FAULTS)) + 3, seed)
    first = rows[0]
    first |= {name: f"{name[-1].upper()}. {first[name]}" for name in ("opa", "opb", "opc", "opd")}
    first["answer_idx"] = "ABCD".index(first["answer_idx"]) + 1
    rows[-1] |= {"link": "demo:demo-nn"}
    del rows[-1]["id"], rows[-1]["images"], rows[-1]["diagnosis"]
    planted: list[Planted] = []

    def plant(fault: str, item: str, kind: str) -> None:
        planted.append(Planted(fault, item, kind, "jama.jsonl"))

    drawn = iter([row for row in rows[cases:-1] if row["images"]])
    for fault, (key, value, kind) in _KEYS.items():
        row = next(drawn)
        plant(fault, row["id"], kind)
        row[key] = value
    for fault, (spoil, kind) in IMAGE_FAULTS.items():
        row = next(drawn)
        plant(fault, row["id"], kind)
        spoil(root / row["images"][0])
    latin, nameless, twice = next(drawn), next(drawn), next(drawn)
    plant("Latin-1", f"line {rows.index(latin) + 1}", "broken_json")
    latin["field"] = LATIN_1
    plant("neither id nor link", f"line {rows.index(nameless) + 1}", "invalid_row")
    nameless |= {"id": "", "link": ""}
    plant("case twice", twice["id"], "repeated_id")
    plant("broken JSON", f"line {len(rows) + 2}", "broken_json")
    plant("no object", f"line {len(rows) + 3}", "broken_json")
    write_lines(root / "jama.jsonl", [*rows, twice, '{"id": "x"', []], bom=True)
    return FaultyTwin(tuple(planted), "records", len(rows) + 3, _QUIRKS)
