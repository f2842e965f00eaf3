"""The twin of PubMedVision: phantoms as figures, every fourth row with two of them."""

from pathlib import Path
from typing import Any

from numpy.random import default_rng

from data_modules.phantom_anatomy import ORGANS
from data_modules.phantoms import Factors, design, draw
from data_modules.pubmedvision import FILES
from data_modules.twins.dialogues import asked, described
from data_modules.twins.planting import write_array

_MODALITIES = {
    "ct": "Computed Tomography", "mr": "Magnetic Resonance Imaging", "xray": "Digital Radiography",
}  # fmt: skip


def write_twin(root: Path, *, cases: int, seed: int) -> None:
    """Writes a description and a conversation about each figure, in the owners' two files.

    Args:
        root: Folder to write to.
        cases: Number of rows in each file.
        seed: Decides everything.
    """
    rows = draw_rows(root, cases, seed)
    write_array(root / FILES["alignment"], [first for first, _ in rows])
    write_array(root / FILES["instruction"], [second for _, second in rows])


def draw_rows(root: Path, cases: int, seed: int) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Draws the figures and returns the rows of both files."""
    random = default_rng([seed, 14])
    (root / "images").mkdir(parents=True, exist_ok=True)
    rows = []
    for index, factors in enumerate(design(cases, random)):
        paths = [f"images/pmc_{index + 1}_{view}.jpg" for view in range(2 if index % 4 == 3 else 1)]
        for view, path in enumerate(paths):
            drawn = draw(factors, [seed, 14, index, view]).image().convert("RGB")
            drawn.save(root / path, quality=90)
        rows.append((_row("Alignment_VQA", index, paths, factors),
                     _row("InstructionTuning_VQA", index, paths, factors)))  # fmt: skip
    return rows


def _row(part: str, index: int, paths: list[str], factors: Factors) -> dict[str, Any]:
    request = "Describe the images." if len(paths) > 1 else "Describe the image."
    organ = ORGANS[factors.organ]
    return {
        "image": paths,
        "id": f"{part}_{index}",
        "conversations": described(factors, request) if part[0] == "A" else asked(factors),
        "body_part": factors.organ.capitalize(),
        "modality": _MODALITIES[organ.modality],
    }
