"""PMC-VQA's twin with quirks and planted faults."""

from pathlib import Path

from data_modules.pmc_vqa_rows import CHOICES
from data_modules.twins.faults import FaultyTwin, Planted
from data_modules.twins.planting import IMAGE_FAULTS, LATIN_1, Sheet, write_csv
from data_modules.twins.pmc_vqa import FIRST, SECOND, draw_figures

_CELLS: dict[str, tuple[str, str, str]] = {
    "no question": ("Question", " ", "invalid_row"),
    "NaN choice": ("Choice C", "nan", "invalid_row"),
    "label of no option": ("Answer_label", "E", "answer"),
    "answer of another option": ("Answer", "outside of the organ", "answer"),
    "path outside of the root": ("Figure_path", "../../PMC1_F1.jpg", "path_outside_root"),
    "absolute path": ("Figure_path", "/PMC1_F1.jpg", "path_outside_root"),
    "text instead of a path": ("Figure_path", "Seen on CT: a mass.\tFollow up", "unusable_path"),
    "Latin-1": ("Question", LATIN_1, "encoding"),
}
"""Fault of a row -> column, cell, kind."""

_QUIRKS = ("Anwser", "byte order mark", "test_clean.csv repeats test.csv", "answers as letters")


def write_faults(root: Path, *, cases: int, seed: int) -> FaultyTwin:
    """Writes sound figures, quirks, a figure for each fault and one unusable table; questions."""
    needed = 2 * (len(_CELLS) + len(IMAGE_FAULTS) + 4)
    figures = draw_figures(root, cases + needed, seed)
    sheets = {name: Sheet(f"{name}.csv") for name in ("train", "test", "train_2", "test_2")}
    spare = [one for one in figures[cases:] if one.table == "train"]
    for figure in figures:
        if figure not in spare:
            for row in figure.rows:
                sheets[figure.table].add(row)
    faulty, train = iter(spare), sheets["train"]
    for fault, (column, cell, kind) in _CELLS.items():
        # The question about the place, whose options are known.
        _, row, _ = next(faulty).rows
        row[FIRST.index(column)] = cell
        train.add(row, fault, kind)
    for fault, (spoil, kind) in IMAGE_FAULTS.items():
        figure = next(faulty)
        spoil(root / figure.path)
        for row in figure.rows:
            train.add(row, fault, kind)
    short, joined, twice = next(faulty).rows
    train.add(short[:-1], "cell missing", "broken_row")
    train.add(";".join(joined), "another delimiter", "broken_row")
    train.add(twice)
    train.add(twice, "row twice", "repeated_id")
    _write(root, sheets)
    lost = len(sheets["test_2"].rows)
    table = Planted("column missing", "test_2.csv", "unusable_table", "test_2.csv", lost)
    found = sum(len(sheet.rows) for sheet in sheets.values())
    return FaultyTwin((*train.planted, table), "qa", found, _QUIRKS)


def _write(root: Path, sheets: dict[str, Sheet]) -> None:
    spelt = ["Anwser" if name == "Answer" else name for name in FIRST]
    write_csv(root / "train.csv", spelt, sheets["train"].rows, bom=True)
    test = sheets["test"].rows
    for row in test:
        row[FIRST.index("Answer")] = row[FIRST.index("Answer_label")]
    write_csv(root / "test.csv", FIRST, test)
    write_csv(root / "test_clean.csv", FIRST, test[::2])
    write_csv(root / "train_2.csv", SECOND, sheets["train_2"].rows)
    wrong = ["Choice" if name == CHOICES[0] else name for name in SECOND]
    write_csv(root / "test_2.csv", wrong, sheets["test_2"].rows)
