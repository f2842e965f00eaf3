"""MediConfusion's twin with quirks and planted faults."""

from pathlib import Path
from typing import Any

from data_modules.twins.faults import FaultyTwin, Planted
from data_modules.twins.mediconfusion import draw_pairs, write_pairs
from data_modules.twins.planting import IMAGE_FAULTS

_FIELDS: dict[str, tuple[str, Any, str]] = {
    "no question": ("question", " ", "invalid_row"),
    "NaN option": ("option_B", float("nan"), "invalid_row"),
    "letter of no option": ("im_2_correct", "C", "answer"),
    "path outside of the root": ("im_1_local", "../../../20001", "invalid_row"),
    "absolute path": ("im_2_local", "/20001", "invalid_row"),
    "category as text": ("category_1", "Cerebral", "invalid_row"),
}
"""Fault of a pair -> field, value, kind."""

_QUIRKS = ("byte order mark", "image in two pairs")
_FILE = "dataset.json"


def write_faults(root: Path, *, cases: int, seed: int) -> FaultyTwin:
    """Writes sound pairs, a quirk, and a pair for each fault; records."""
    needed = len(_FIELDS) + len(IMAGE_FAULTS) + 3
    drawn = list(draw_pairs(root, cases + needed, seed).items())
    pairs: list[tuple[str, Any]] = drawn[:-needed]
    spare = iter(drawn[-needed:])
    name, row = pairs[0]
    pairs.append(("20001", row))
    planted = []

    def plant(name: str, row: Any, fault: str, kind: str) -> None:
        planted.append(Planted(fault, name, kind, _FILE))
        pairs.append((name, row))

    for fault, (field, value, kind) in _FIELDS.items():
        name, row = next(spare)
        plant(name, row | {field: value}, fault, kind)
    for fault, (spoil, kind) in IMAGE_FAULTS.items():
        name, row = next(spare)
        spoil(root / "data" / "images" / f"{row['im_2_local']}.jpg")
        plant(name, row, fault, kind)
    name, row = next(spare)
    same = row | {"im_1_correct": "A", "im_2_correct": "A"}
    plant(name, same, "both images with the same answer", "answer")
    name, row = next(spare)
    without = {field: value for field, value in row.items() if field != "option_A"}
    plant(name, without, "field missing", "invalid_row")
    plant(next(spare)[0], 7, "a number instead of a pair", "broken_json")
    plant(pairs[0][0], row, "pair twice", "repeated_id")
    write_pairs(root, pairs, bom=True)
    return FaultyTwin(tuple(planted), "records", len(pairs), _QUIRKS)
