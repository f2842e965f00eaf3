"""The twin of OmniMedVQA: phantoms of two invented data sets with questions of four options."""

from pathlib import Path
from typing import Any

from numpy.random import default_rng

from data_modules.phantom_anatomy import ORGANS
from data_modules.phantom_questions import LETTERS, choices
from data_modules.phantom_words import MODALITY_WORDS
from data_modules.phantoms import design, draw
from data_modules.twins.planting import write_array

DATASETS = ("Phantoms A", "Phantoms & Controls")
ACCESS = Path("QA_information", "Open-access")
_TYPES = ("Anatomy Identification", "Lesion Grading", "Other Biological Attributes")

Row = dict[str, Any]


def write_twin(root: Path, *, cases: int, seed: int) -> None:
    """Writes phantoms with three open questions each, and a restricted file without images.

    Args:
        root: Folder to write to.
        cases: Number of images.
        seed: Decides everything.
    """
    for name, rows in draw_rows(root, cases, seed).items():
        if rows:
            write_array(root / ACCESS / f"{name}.json", rows)
    write_restricted(root)


def draw_rows(root: Path, cases: int, seed: int) -> dict[str, list[Row]]:
    """Draws all images and returns the questions by data set."""
    rows: dict[str, list[Row]] = {name: [] for name in DATASETS}
    for index, factors in enumerate(design(cases, default_rng([seed, 35]))):
        name = DATASETS[index % len(DATASETS)]
        path = f"Images/{name}/{index:05d}.jpg"
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        draw(factors, [seed, 35, index]).image().convert("RGB").save(root / path)
        modality = MODALITY_WORDS[ORGANS[factors.organ].modality]
        for kind, asked in zip(_TYPES, choices(factors, index), strict=True):
            options = {
                f"option_{letter}": option
                for letter, option in zip(LETTERS, asked.options, strict=True)
            }
            rows[name].append(
                {
                    "dataset": name,
                    "question_id": f"{name.split()[-1]}_{len(rows[name]):05d}",
                    "question_type": kind,
                    "question": asked.question,
                    "gt_answer": asked.answer,
                    "image_path": path,
                    **options,
                    "modality_type": modality,
                }
            )
    return rows


def write_restricted(root: Path) -> None:
    """Writes a file of questions whose images the owners do not ship; it is not read."""
    row = {"question_id": "x", "question": "x?", "gt_answer": "a", "image_path": "Images/x.png"}
    write_array(root / "QA_information" / "Restricted-access" / "Theirs.json", [row])
