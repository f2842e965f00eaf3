"""Quilt-1M's twin with quirks and planted faults."""

from pathlib import Path

from data_modules.quilt_1m import COLUMNS
from data_modules.twins.faults import FaultyTwin
from data_modules.twins.planting import IMAGE_FAULTS, LATIN_1, Sheet
from data_modules.twins.quilt_1m import draw_rows, write_table

_CELLS: dict[str, tuple[str, str, str]] = {
    "code instead of a list": ("pathology", "__import__('os').getcwd()", "invalid_row"),
    "list nested without end": ("med_umls_ids", "[" * 9_000, "invalid_row"),
    "concepts of another form": ("med_umls_ids", "[['C0007610']]", "invalid_row"),
    "list that is torn": ("roi_text", "['Here we', see", "invalid_row"),
    "unknown split": ("split", "2", "invalid_row"),
    "path outside of the root": ("image_path", "../../a.jpg", "path_outside_root"),
    "absolute path": ("image_path", "/a.jpg", "path_outside_root"),
    "text instead of a path": ("image_path", "Breast tissue: carcinoma", "unusable_path"),
    "Latin-1": ("caption", LATIN_1, "encoding"),
}
"""Fault of a row -> column, cell, kind."""

_QUIRKS = (
    "byte order mark", "NaN labels and splits", "an image of two rows", "no index",
    "a row without caption but with another text",
)  # fmt: skip


def write_faults(root: Path, *, cases: int, seed: int) -> FaultyTwin:
    """Writes sound images, quirks, and one image for each fault; units are records (rows)."""
    rows = draw_rows(root, cases + len(_CELLS) + len(IMAGE_FAULTS) + 5, seed)
    sheet = Sheet("quilt_1M_lookup.csv")
    for row in rows[:cases]:
        sheet.add(row)
    _set(rows[0], pathology="nan", magnification="nan", med_umls_ids="NaN", split="nan")
    _set(rows[1], caption="", roi_text="Phantom tissue.")
    rows[0][0] = ""
    sheet.add(["again", "Another caption.", *rows[0][2:]])
    spare = iter(rows[cases:])
    for fault, (column, cell, kind) in _CELLS.items():
        row = next(spare)
        _set(row, **{column: cell})
        sheet.add(row, fault, kind)
    for fault, (spoil, kind) in IMAGE_FAULTS.items():
        row = next(spare)
        spoil(root / "quilt_1m" / row[1 + COLUMNS.index("image_path")])
        sheet.add(row, fault, kind)
    short, joined, silent, twice, numbered = spare
    sheet.add(short[:-1], "cell missing", "broken_row")
    sheet.add(";".join(joined), "another delimiter", "broken_row")
    _set(silent, caption="nan", roi_text="[]", corrected_text="")
    sheet.add(silent, "no text", "invalid_row")
    sheet.add(twice)
    sheet.add(twice, "row twice", "repeated_id")
    sheet.add([twice[0], *numbered[1:]], "index twice", "repeated_id")
    write_table(root, sheet.rows, bom=True)
    return FaultyTwin(tuple(sheet.planted), "records", len(sheet.rows), _QUIRKS)


def _set(row: list[str], **cells: str) -> None:
    for column, cell in cells.items():
        row[1 + COLUMNS.index(column)] = cell
