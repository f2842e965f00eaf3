"""MMMU's twin with quirks and planted faults."""

from pathlib import Path
from typing import Any

from data_modules.twins.faults import FaultyTwin, Planted, link_out, truncate
from data_modules.twins.mmmu_med import SUBJECTS, Row, draw_rows, table_of, write_subject
from data_modules.twins.planting import CELL_FAULTS

_FIELDS: dict[str, tuple[str, Any, str]] = {
    "id of another form": ("id", "test_Pharmacy_1", "invalid_row"),
    "letter of no option": ("answer", "F", "answer"),
    "NaN answer": ("answer", "nan", "answer"),
    "no answer": ("answer", None, "invalid_row"),
    "no options": ("options", None, "answer"),
    "options that are no list": ("options", "liver; lung", "invalid_row"),
    "unknown question type": ("question_type", "matching", "invalid_row"),
    "image without its bytes": (
        "image_1",
        {"bytes": None, "path": "../../1.png"},
        "unreadable_image",
    ),
}
"""Fault of a row -> column, cell, kind."""

_QUIRKS = ("two images", "short answers as a list", "a question without an image")
_PART_ROWS = 16


def write_faults(root: Path, *, cases: int, seed: int) -> FaultyTwin:
    """Writes sound questions, quirks, a question for each fault and three unusable tables."""
    needed = len(_FIELDS) + len(CELL_FAULTS) + 1
    rows = draw_rows(cases + len(SUBJECTS) * (needed + 1), seed)
    first, second, *broken = SUBJECTS
    for subject in broken:
        rows[subject] = rows[subject][:3]
    sound, spare = rows[first][:-needed], [row for row in rows[first][-needed:]]
    quirk = sound.pop()
    quirk["image_1"] = None
    quirk["image_2"] = None
    planted: list[Planted] = []
    table = [*sound, quirk]
    name = table_of(root, first).name
    for row, fault, kind in _faulty(spare, sound[0]):
        item = f"part {len(table) // _PART_ROWS}, row {len(table) % _PART_ROWS}"
        planted.append(Planted(fault, item, kind, name))
        table.append(row)
    rows[first] = table
    for subject in (first, second, *broken[1:]):
        write_subject(root, subject, rows[subject])
    write_subject(root, broken[0], rows[broken[0]], without="options")
    truncate(table_of(root, broken[1]))
    link_out(table_of(root, broken[2]))
    for fault, kind in (
        ("column missing", "unusable_table"),
        ("truncated table", "unusable_table"),
        ("link out of the root", "path_outside_root"),
    ):
        planted.append(Planted(fault, name, kind, name, 3))
    return FaultyTwin(tuple(planted), "qa", sum(len(one) for one in rows.values()), _QUIRKS)


def _faulty(spare: list[Row], known: Row) -> list[tuple[Row, str, str]]:
    """Faulty rows, fault and kind; those that are changed are multiple choice about one image."""
    choice = {name: known[name] for name in ("question", "options", "answer", "question_type")}
    rows = iter(row | choice | {"image_2": None} for row in spare)
    found = [
        (next(rows) | {column: value}, fault, kind)
        for fault, (column, value, kind) in _FIELDS.items()
    ]
    for fault, (spoil, kind) in CELL_FAULTS.items():
        row = next(rows)
        image = row["image_1"]
        found.append((row | {"image_1": image | {"bytes": spoil(image["bytes"])}}, fault, kind))
    found.append((next(rows) | {"id": known["id"]}, "id twice", "repeated_id"))
    return found
