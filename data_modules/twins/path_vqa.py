"""The twin of PathVQA: phantoms in the owners' LXMERT form."""

from pathlib import Path
from typing import Any

from numpy.random import default_rng

from data_modules.path_vqa import IMAGES, SPLITS
from data_modules.phantom_anatomy import ORGANS
from data_modules.phantom_words import NUMBER_WORDS
from data_modules.phantoms import SIDES, Factors, design, draw
from data_modules.twins.planting import write_array

_SPLIT_OF = ("train", "train", "train", "val", "test")

Entries = dict[str, list[dict[str, Any]]]


def write_twin(root: Path, *, cases: int, seed: int) -> None:
    """Writes phantoms (no tissue) with four questions each, and in each split an entry with none.

    Args:
        root: Folder to write to.
        cases: Number of images with questions; three of five are for training.
        seed: Decides everything.
    """
    entries = draw_entries(root, cases, seed)
    for split, rows in entries.items():
        write_array(root / f"pvqa_{split}.json", rows)


def draw_entries(root: Path, cases: int, seed: int) -> Entries:
    """Draws all images and returns the owners' entries by split."""
    entries: Entries = {split: [entry(f"{split}_0000", [])] for split in SPLITS}
    for index, factors in enumerate(design(cases, default_rng([seed, 22]))):
        split = _SPLIT_OF[index % len(_SPLIT_OF)]
        image_id = f"{split}_{len(entries[split]):04d}"
        folder = root / IMAGES / split
        folder.mkdir(parents=True, exist_ok=True)
        image = draw(factors, [seed, 22, index]).image().convert("RGB")
        image.save(folder / f"{image_id}.jpg")
        entries[split].append(entry(image_id, _pairs(factors, index)))
    return entries


def entry(image_id: str, pairs: list[tuple[str, str]]) -> dict[str, Any]:
    """One of the owners' entries."""
    return {
        "img_id": image_id,
        "labelf": {"pvqa": [{answer: 1} for _, answer in pairs]},
        "sentf": {"pvqa": [question for question, _ in pairs]},
    }


def _pairs(factors: Factors, index: int) -> list[tuple[str, str]]:
    organ = ORGANS[factors.organ]
    asked = factors.side if index % 2 else SIDES[1 - SIDES.index(factors.side)]
    return [
        ("what organ is shown?", factors.organ),
        ("how many lesions are present?", NUMBER_WORDS[factors.number]),
        (f"is a lesion present in the {organ.site(asked)}?",
         "yes" if asked == factors.side else "no"),
        ("where is the lesion?", f"in the {organ.site(factors.side)} "),
    ]  # fmt: skip
