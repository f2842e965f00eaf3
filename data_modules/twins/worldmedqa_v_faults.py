"""WorldMedQA-V's twin with quirks and planted faults."""

import base64
from pathlib import Path

from data_modules.twins.faults import FaultyTwin, Planted, link_out
from data_modules.twins.planting import CELL_FAULTS, LATIN_1, Sheet, write_csv
from data_modules.twins.worldmedqa_v import COLUMNS, Rows, draw_tables, write_table

_CELLS: dict[str, tuple[str, str, str]] = {
    "no question": ("question", " ", "invalid_row"),
    "NaN option": ("C", "nan", "invalid_row"),
    "letter of no option": ("correct_option", "E", "answer"),
    "Latin-1": ("question", LATIN_1, "encoding"),
    "no base64": ("image", "see the attached file", "unreadable_image"),
}
"""Fault of a row -> column, cell, kind."""

_FAULTY = "brazil_english"
_QUIRKS = ("byte order mark", "question of two lines", "a further column")


def write_faults(root: Path, *, cases: int, seed: int) -> FaultyTwin:
    """Writes sound tables, quirks, a row for each fault and four unusable tables; questions."""
    needed = len(_CELLS) + len(CELL_FAULTS) + 4
    tables = draw_tables(cases + 4 * needed, seed)
    sheet = Sheet(f"{_FAULTY}_processed.tsv")
    rows = tables.pop(_FAULTY)
    for row in rows[:-needed]:
        sheet.add(row)
    _plant(sheet, rows[-needed:])
    write_csv(root / sheet.file, COLUMNS, sheet.rows, bom=True, delimiter="\t")
    lost = _write_unusable(root, {name: tables.pop(name)[:2] for name in list(tables)[-3:]})
    for name, of_one in tables.items():
        two_lines = [[*row, "x"] for row in of_one]
        two_lines[0][COLUMNS.index("question")] += "\nChoose one."
        path = root / f"{name}_processed.tsv"
        write_csv(path, (*COLUMNS, "split"), two_lines, delimiter="\t")
    found = len(sheet.rows) + sum(len(one) for one in tables.values())
    found += sum(one.lost for one in lost)
    return FaultyTwin((*sheet.planted, *lost), "qa", found, _QUIRKS)


def _plant(sheet: Sheet, spare: Rows) -> None:
    faulty = iter(spare)
    for fault, (column, cell, kind) in _CELLS.items():
        row = next(faulty)
        row[COLUMNS.index(column)] = cell
        sheet.add(row, fault, kind)
    place = COLUMNS.index("image")
    for fault, (spoil, kind) in CELL_FAULTS.items():
        row = next(faulty)
        row[place] = base64.b64encode(spoil(base64.b64decode(row[place]))).decode()
        sheet.add(row, fault, kind)
    sheet.add(next(faulty)[:-1], "cell missing", "broken_row")
    sheet.add(",".join(next(faulty)), "another delimiter", "broken_row")
    twice = next(faulty)
    sheet.add(twice)
    sheet.add(twice, "row twice", "repeated_id")
    sheet.add(next(faulty))


def _write_unusable(root: Path, tables: dict[str, Rows]) -> list[Planted]:
    """Tables that cannot be used at all, and one of a country that is not known."""
    (comma, comma_rows), (short, short_rows), (linked, linked_rows) = tables.items()
    name = f"{comma}_processed.tsv"
    write_csv(root / name, COLUMNS, comma_rows)
    planted = [Planted("wrong delimiter", name, "unusable_table", name, len(comma_rows))]
    name = f"{short}_processed.tsv"
    write_csv(root / name, COLUMNS[1:], [row[1:] for row in short_rows], delimiter="\t")
    planted.append(Planted("column missing", name, "unusable_table", name, len(short_rows)))
    path = write_table(root, linked, linked_rows)
    link_out(path)
    lost = len(linked_rows)
    planted.append(Planted("link out of the root", path.name, "path_outside_root", path.name, lost))
    path = write_table(root, "chile_local", linked_rows)
    planted.append(Planted("unknown country", path.name, "unusable_table", path.name, lost))
    return planted
