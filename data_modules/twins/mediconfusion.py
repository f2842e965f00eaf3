"""The twin of MediConfusion: pairs of phantoms that differ in one respect, and a question on it."""

import json
from pathlib import Path
from typing import Any

from numpy.random import default_rng

from data_modules.phantoms import SIDES, design, draw
from semihvision.core.files import write_text_atomically

FIRST_IMAGE = 20_001
_CATEGORIES = {"brain": "Cerebral", "lungs": "Chest"}

Row = dict[str, Any]


def write_twin(root: Path, *, cases: int, seed: int) -> None:
    """Writes pairs of phantoms whose lesions are on different sides.

    Args:
        root: Folder to write to.
        cases: Number of pairs.
        seed: Decides everything.
    """
    write_pairs(root, list(draw_pairs(root, cases, seed).items()))


def draw_pairs(root: Path, cases: int, seed: int) -> dict[str, Row]:
    """Draws both images of all pairs and returns their rows by the pair's name."""
    folder = root / "data" / "images"
    folder.mkdir(parents=True, exist_ok=True)
    pairs = {}
    for index, factors in enumerate(design(cases, default_rng([seed, 34]))):
        first = FIRST_IMAGE + 2 * index
        other = factors._replace(side=SIDES[1 - SIDES.index(factors.side)])
        for number, one in ((first, factors), (first + 1, other)):
            image = draw(one, [seed, 34, number]).image().convert("RGB")
            image.save(folder / f"{number}.jpg")
        left_is_a = index % 2 == 0
        letters = {"left": "A" if left_is_a else "B", "right": "B" if left_is_a else "A"}
        options = sorted(letters, key=letters.__getitem__)
        category = _CATEGORIES.get(factors.organ, "Abdominal")
        pairs[str(10_001 + index)] = {
            "im_1": f"train/radiology/images/ROCO_{first}.jpg",
            "im_2": f"train/radiology/images/ROCO_{first + 1}.jpg",
            "im_1_local": first, "im_2_local": first + 1,
            "category_1": [category], "category_2": [category, "Phantom"],
            "question": f"On which side of the {factors.organ} is the lesion?",
            "option_A": options[0], "option_B": options[1],
            "im_1_correct": letters[factors.side], "im_2_correct": letters[other.side],
        }  # fmt: skip
    return pairs


def write_pairs(root: Path, pairs: list[tuple[str, Any]], *, bom: bool = False) -> None:
    """Writes the owners' file; a name may be there twice."""
    lines = [f"{json.dumps(name)}: {json.dumps(row)}" for name, row in pairs]
    mark = "\ufeff" if bom else ""
    text = mark + "{\n" + ",\n".join(lines) + "\n}\n"
    write_text_atomically(root / "data" / "dataset.json", text)
