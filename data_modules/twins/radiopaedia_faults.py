"""Radiopaedia's twin with quirks and planted faults."""

from pathlib import Path

from data_modules.radiopaedia import MODALITY_TABLE, TABLE
from data_modules.twins.faults import FaultyTwin
from data_modules.twins.planting import IMAGE_FAULTS, LATIN_1, Sheet, write_csv
from data_modules.twins.radiopaedia import COLUMNS, MODALITY_COLUMNS, draw_cases

_CELLS: dict[str, tuple[str, str, str]] = {
    "no answer": ("answer", " ", "invalid_row"),
    "NaN answer": ("answer", "nan", "invalid_row"),
    "no path": ("image_path", "", "invalid_row"),
    "text instead of a case": ("case_id", "a man with a mass", "invalid_row"),
    "path outside of the root": ("image_path", "../../a.png", "path_outside_root"),
    "absolute path": ("image_path", "/a.png", "path_outside_root"),
    "text instead of a path": ("image_path", "CT: a mass", "unusable_path"),
    "Latin-1": ("answer", LATIN_1, "encoding"),
}
"""Fault of a question's row -> column, cell, kind."""

_QUIRKS = ("byte order mark", "no case_id", "unknown modality", "NaN question")


def write_faults(root: Path, *, cases: int, seed: int) -> FaultyTwin:
    """Writes sound cases, quirks, and one question for each fault; units are questions."""
    needed = 2 * (len(_CELLS) + len(IMAGE_FAULTS) + 3)
    drawn = draw_cases(root, cases + needed, seed)
    sheet = Sheet(TABLE)
    modalities = [row for case in drawn[:cases] for row in case.modalities]
    for case in drawn[:cases]:
        for row in case.rows:
            sheet.add(row)
    modalities[0][1] = "Kymography"
    drawn[1].rows[0][2] = "NaN"
    for row in drawn[0].rows:
        row[0] = ""
    # Cases of one image: their question is one unit.
    spare = iter([case.rows[1] for case in drawn[cases:] if len(case.rows) == 2])
    for fault, (column, cell, kind) in _CELLS.items():
        row = next(spare)
        row[COLUMNS.index(column)] = cell
        sheet.add(row, fault, kind)
    for fault, (spoil, kind) in IMAGE_FAULTS.items():
        row = next(spare)
        spoil(root / row[1])
        sheet.add(row, fault, kind)
    short, joined, twice = spare
    sheet.add(short[:-1], "cell missing", "broken_row")
    sheet.add(";".join(joined), "another delimiter", "broken_row")
    sheet.add(twice)
    sheet.add(twice, "row twice", "repeated_id")
    sheet.add(["other", *twice[1:3], "another"], "image of two cases", "contradicting_rows")
    write_csv(root / TABLE, COLUMNS, sheet.rows, bom=True)
    write_csv(root / MODALITY_TABLE, MODALITY_COLUMNS, modalities)
    found = sum(1 for row in sheet.rows if isinstance(row, str) or row[2] not in ("", "NaN"))
    return FaultyTwin(tuple(sheet.planted), "qa", found, _QUIRKS)
