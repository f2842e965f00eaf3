"""The twin of WorldMedQA-V: phantoms in base64 in the tables of four countries, in two languages.

Only the words of the question are in the local language; the options are English in both.
"""

import base64
from pathlib import Path

from numpy.random import default_rng

from data_modules.phantom_questions import LETTERS, choices
from data_modules.phantoms import design
from data_modules.twins.pictures import jpeg
from data_modules.twins.planting import write_csv

COLUMNS = ("index", "image", "question", *LETTERS, "answer", "correct_option")
LANGUAGES = ("english", "local")
QUESTIONS = {
    "brazil": "Qual órgão aparece na imagem?",
    "israel": "איזה איבר מוצג בתמונה?",
    "japan": "どの臓器が写っていますか?",
    "spain": "¿Cuál órgano aparece en la imagen?",
}

Rows = list[list[str]]


def write_twin(root: Path, *, cases: int, seed: int) -> None:
    """Writes one question a phantom, the countries in turn, each in English and the local language.

    Args:
        root: Folder to write to.
        cases: Number of phantoms.
        seed: Decides everything.
    """
    for name, rows in draw_tables(cases, seed).items():
        if rows:
            write_table(root, name, rows)


def draw_tables(cases: int, seed: int) -> dict[str, Rows]:
    """Draws all phantoms and returns the rows of each table, by its name."""
    tables: dict[str, Rows] = {
        f"{country}_{language}": [] for country in QUESTIONS for language in LANGUAGES
    }
    for index, factors in enumerate(design(cases, default_rng([seed, 32]))):
        country = list(QUESTIONS)[index % len(QUESTIONS)]
        image = base64.b64encode(jpeg(factors, [seed, 32, index])).decode()
        asked = choices(factors, index)[0]
        for language in LANGUAGES:
            words = asked.question if language == "english" else QUESTIONS[country]
            row = [str(index), image, words, *asked.options, asked.answer, asked.letter]
            tables[f"{country}_{language}"].append(row)
    return tables


def write_table(root: Path, name: str, rows: Rows) -> Path:
    """Writes one table."""
    path = root / f"{name}_processed.tsv"
    write_csv(path, COLUMNS, rows, delimiter="\t")
    return path
