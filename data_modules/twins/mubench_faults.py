"""μ-Bench's twin with quirks and planted faults."""

from pathlib import Path
from typing import Any

from data_modules.twins.faults import FaultyTwin, Planted, link_out, truncate
from data_modules.twins.mubench import ASKED, KINDS, PART_ROWS, Row, draw_rows, file_of, write_file
from data_modules.twins.planting import CELL_FAULTS

_FIELDS: dict[str, tuple[str, Any, str]] = {
    "answer of no option": ("answer", "the left one", "answer"),
    "NaN answer": ("answer", None, "answer"),
    "one option": ("options", ["brain"], "invalid_row"),
    "no options": ("options", None, "invalid_row"),
    "option that is null": ("options", ["brain", None], "invalid_row"),
}
"""Fault of a question of the kind ``modality`` -> field, value, kind of refusal."""

_QUIRKS = ("questions that are null", "unlabelled data set", "several batches")


def write_faults(root: Path, *, cases: int, seed: int) -> FaultyTwin:
    """Writes sound images, quirks, an image for each fault and three unusable files; questions."""
    needed = len(_FIELDS) + len(CELL_FAULTS) + 3
    rows = draw_rows(cases + needed + 6, seed)
    rows, others = rows[:-6], rows[-6:]
    rows[0]["dataset"] = None
    table, spare = rows[:-needed], iter(rows[-needed:])
    name = file_of(root, 0).name
    planted: list[Planted] = []

    def plant(row: Row, fault: str, kinds: tuple[str, ...], refusal: str) -> None:
        place = f"part {len(table) // PART_ROWS}, row {len(table) % PART_ROWS}"
        for kind in kinds:
            lost = int(kind in ASKED)
            planted.append(Planted(fault, f"{place}, {kind}", refusal, name, lost))
        table.append(row)

    for fault, (field, value, refusal) in _FIELDS.items():
        row = next(spare)
        row["questions"]["modality"][field] = value
        plant(row, fault, ("modality",), refusal)
    for fault, (spoil, refusal) in CELL_FAULTS.items():
        row = next(spare)
        row["image"]["bytes"] = spoil(row["image"]["bytes"])
        plant(row, fault, ASKED, refusal)
    row = next(spare)
    plant(row | {"image": {"bytes": None, "path": "/x.png"}}, "image elsewhere", ASKED,
          "unreadable_image")  # fmt: skip
    plant(next(spare) | {"image_id": ""}, "no image_id", KINDS, "invalid_row")
    plant(next(spare) | {"image_id": table[0]["image_id"]}, "id twice", ASKED, "repeated_id")
    write_file(file_of(root, 0), table)
    planted += _write_unusable(root, others)
    return FaultyTwin(tuple(planted), "qa", len(ASKED) * (len(table) + len(others)), _QUIRKS)


def _write_unusable(root: Path, rows: list[Row]) -> list[Planted]:
    paths = [file_of(root, number) for number in (1, 2, 3)]
    write_file(paths[0], rows[:2], without="questions")
    for path, two in zip(paths[1:], (rows[2:4], rows[4:]), strict=True):
        write_file(path, two)
    truncate(paths[1])
    link_out(paths[2])
    faults = ("column missing", "truncated file", "link out of the root")
    kinds = ("unusable_table", "unusable_table", "path_outside_root")
    return [
        Planted(fault, path.name, kind, path.name, 2 * len(ASKED))
        for path, fault, kind in zip(paths, faults, kinds, strict=True)
    ]
