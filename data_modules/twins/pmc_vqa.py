"""The twin of PMC-VQA: phantoms as figures of invented articles, with four-option questions."""

from pathlib import Path
from typing import NamedTuple

from numpy.random import default_rng

from data_modules.phantom_anatomy import ORGANS
from data_modules.phantom_questions import LETTERS, Choice, choices
from data_modules.phantom_words import MODALITY_WORDS, lesions
from data_modules.phantoms import Factors, design, draw
from data_modules.pmc_vqa_rows import CHOICES
from data_modules.twins.planting import write_csv

FIRST = ("Figure_path", "Question", "Answer", *CHOICES, "Answer_label")
SECOND = ("Figure_path", "Caption", "Question", *CHOICES, "Answer")
"""Columns of the two generations; those of the second are third parties'."""

Cells = dict[str, list[list[str]]]


class Figure(NamedTuple):
    """One drawn figure and the rows about it."""

    table: str
    path: str
    rows: list[list[str]]


def write_twin(root: Path, *, cases: int, seed: int) -> None:
    """Writes figures of both generations, three questions each; every third article has two.

    A fifth of the articles is tested on, every second of their questions also in `test_clean.csv`;
    every fourth article belongs to the second generation.

    Args:
        root: Folder to write to.
        cases: Number of articles.
        seed: Decides everything.
    """
    tables: Cells = {name: [] for name in ("train", "test", "train_2", "test_2")}
    for figure in draw_figures(root, cases, seed):
        tables[figure.table] += figure.rows
    write_tables(root, tables)


def draw_figures(root: Path, cases: int, seed: int) -> list[Figure]:
    """Draws all figures and returns their rows."""
    random = default_rng([seed, 11])
    for name in ("images", "images_2"):
        (root / name).mkdir(parents=True, exist_ok=True)
    figures = []
    for index, factors in enumerate(design(cases, random)):
        second, test = index % 4 == 3, index % 5 == 4
        table = ("test" if test else "train") + ("_2" if second else "")
        folder = root / ("images_2" if second else "images")
        for number in range(2 if index % 3 == 2 else 1):
            name = f"PMC{9000001 + index}_F{number + 1}.jpg"
            image = draw(factors, [seed, 11, index, number]).image().convert("RGB")
            image.save(folder / name, quality=90)
            asked = choices(factors, index + number)
            rows = [_row(name, factors, one, second=second) for one in asked]
            figures.append(Figure(table, f"{folder.name}/{name}", rows))
    return figures


def write_tables(root: Path, tables: Cells) -> None:
    """Writes the CSV files of both generations."""
    for name, rows in tables.items():
        write_csv(root / f"{name}.csv", SECOND if name.endswith("_2") else FIRST, rows)
    write_csv(root / "test_clean.csv", FIRST, tables["test"][::2])


def _row(name: str, factors: Factors, asked: Choice, *, second: bool) -> list[str]:
    # The owners' choices begin with their letter and have irregular blanks.
    options = [f" {letter}:{text} " for letter, text in zip(LETTERS, asked.options, strict=True)]
    if not second:
        return [name, asked.question, asked.answer, *options, asked.letter]
    words = MODALITY_WORDS[ORGANS[factors.organ].modality]
    return [name, f"{words} shows {lesions(factors)}.", asked.question, *options, asked.letter]
