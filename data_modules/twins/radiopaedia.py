"""The twin of Radiopaedia: cases about phantoms in the form that the reader takes."""

from pathlib import Path
from typing import NamedTuple

from numpy.random import default_rng

from data_modules.phantom_anatomy import ORGANS
from data_modules.phantom_questions import choices
from data_modules.phantom_words import lesions, other_side, sentence
from data_modules.phantoms import Factors, design, draw
from data_modules.radiopaedia import MODALITY_TABLE, TABLE
from data_modules.twins.planting import write_csv

COLUMNS = ("case_id", "image_path", "question", "answer")
MODALITY_COLUMNS = ("image_path", "answer")
_MODALITIES = {"ct": "CT", "mr": "MRI", "xray": "X-ray"}


class Case(NamedTuple):
    """Rows of one case in both tables."""

    rows: list[list[str]]
    modalities: list[list[str]]


def write_twin(root: Path, *, cases: int, seed: int) -> None:
    """Writes cases of one or two images, each described and asked about once.

    Args:
        root: Folder to write to.
        cases: Number of cases.
        seed: Decides everything.
    """
    drawn = draw_cases(root, cases, seed)
    write_csv(root / TABLE, COLUMNS, [row for case in drawn for row in case.rows])
    rows = [row for case in drawn for row in case.modalities]
    write_csv(root / MODALITY_TABLE, MODALITY_COLUMNS, rows)


def draw_cases(root: Path, cases: int, seed: int) -> list[Case]:
    """Draws the images and returns the rows of each case."""
    random = default_rng([seed, 16])
    (root / "images").mkdir(parents=True, exist_ok=True)
    return [
        _case(root, factors, index, seed) for index, factors in enumerate(design(cases, random))
    ]


def _case(root: Path, factors: Factors, index: int, seed: int) -> Case:
    rid = str(90001 + index)
    case = Case([], [])
    for view in range(1 + index % 2):
        path = f"images/{rid}_{view + 1}.png"
        draw(factors, [seed, 16, index, view]).image().save(root / path)
        asked = choices(factors, index)[view + 1]
        told = f"{sentence(lesions(factors))} There is {other_side(factors)}."
        case.rows.append([rid, path, "", told])
        case.rows.append([rid, path, asked.question, asked.answer])
        modality = _MODALITIES[ORGANS[factors.organ].modality]
        case.modalities.append([path, modality])
    return case
