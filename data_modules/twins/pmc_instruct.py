"""The twin of PMC-Instruct: questions about described phantoms, answered in the owners' words."""

from pathlib import Path
from typing import Any

from numpy.random import default_rng

from data_modules.phantom_questions import LETTERS, choices
from data_modules.phantom_words import lesions
from data_modules.phantoms import Factors, design
from data_modules.pmc_instruct import FILE, RATIONALE
from data_modules.twins.planting import write_array

_INSTRUCTIONS = (
    "You're a radiologist, kindly answer the question about the phantom.",
    "Answer the question about the drawing with the best option.",
)


def write_twin(root: Path, *, cases: int, seed: int) -> None:
    """Writes rows in pairs: two wordings of the instruction about the same question.

    Args:
        root: Folder to write to.
        cases: Number of rows.
        seed: Decides everything.
    """
    write_array(root / FILE, rows_of(cases, seed))


def rows_of(cases: int, seed: int) -> list[dict[str, Any]]:
    """The rows of the file."""
    random = default_rng([seed, 15])
    pairs = enumerate(design((cases + 1) // 2, random))
    return [_row(factors, index, n) for index, factors in pairs for n in (0, 1)][:cases]


def _row(factors: Factors, index: int, wording: int) -> dict[str, Any]:
    _, place, _ = choices(factors, index)
    options = "\n".join(
        f"{letter}. {text}" for letter, text in zip(LETTERS, place.options, strict=True)
    )
    answer = f"###Answer: OPTION {place.letter} IS CORRECT."
    if wording:
        answer = f"{RATIONALE}: The phantom has {lesions(factors)}.\n{answer}"
    about = f"A phantom numbered {index + 1} has {lesions(factors)}. {place.question}"
    return {
        "output": answer,
        "source": "medqa_train" if index % 2 == 0 else "medmcqa",
        "instruction": _INSTRUCTIONS[wording],
        "input": f"###Question: {about}\n###Options:\n{options}\n",
        "sample_id": index if index % 2 == 0 else None,
    }
