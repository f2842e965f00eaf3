"""The twin of Eurorad: teaching cases about phantoms."""

from datetime import date
from pathlib import Path
from typing import Any

from numpy.random import default_rng

from data_modules.phantom_anatomy import ORGANS
from data_modules.phantom_words import MODALITY_WORDS, lesions, other_side, sentence
from data_modules.phantoms import Factors, design, draw
from data_modules.twins.planting import write_lines


def write_twin(root: Path, *, cases: int, seed: int) -> None:
    """Writes cases about phantoms, one to three images each, dated from 2016 on.

    Args:
        root: Folder to write to.
        cases: Number of cases.
        seed: Decides everything.
    """
    write_lines(root / "cases.jsonl", draw_cases(root, cases, seed))


def draw_cases(root: Path, cases: int, seed: int) -> list[dict[str, Any]]:
    """Draws the images and returns the cases."""
    random = default_rng([seed, 4])
    (root / "images").mkdir(parents=True, exist_ok=True)
    rows = []
    for index, factors in enumerate(design(cases, random)):
        case_id = 90001 + index
        images = []
        for view in range(1 + index % 3):
            name = f"images/{case_id}_{view + 1}.png"
            draw(factors, [seed, 4, index, view]).image().save(root / name)
            images.append({"file": name, "caption": _caption(factors)})
        day = date(2016 + index % 8, 1 + index % 12, 1 + index % 28).isoformat()
        rows.append({"case_id": case_id, "date": day, **_texts(factors), "images": images})
    return rows


def _caption(factors: Factors) -> str:
    organ = ORGANS[factors.organ]
    return f"{organ.view.capitalize()} {MODALITY_WORDS[organ.modality]} shows {lesions(factors)}."


def _texts(factors: Factors) -> dict[str, str]:
    organ = ORGANS[factors.organ]
    affected = organ.site(factors.side)
    return {
        "title": f"Phantom of the {factors.organ} with bright lesions",
        "clinical_history": (
            f"A drawn phantom of the {factors.organ}, not a patient. "
            f"{MODALITY_WORDS[organ.modality]} was asked for to look for lesions."
        ),
        "imaging_findings": (
            f"{_caption(factors)} Each lesion is bright and well defined. "
            f"There is {other_side(factors)}."
        ),
        "discussion": (
            f"Only the {affected} is affected; the number of lesions there is {factors.number} "
            f"and their size is {factors.size}. Organ, side, size and number were drawn "
            "independently of each other, so none of them can be guessed from the rest."
        ),
        "diagnosis": sentence(lesions(factors, "phantom lesion")),
    }
