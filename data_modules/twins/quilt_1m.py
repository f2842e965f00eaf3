"""The twin of Quilt-1M: drawn tissue with captions in the owners' table."""

from collections.abc import Sequence
from pathlib import Path

from numpy.random import default_rng

from data_modules.phantom_tissue import Tissue, draw_tissue, tissues
from data_modules.quilt_1m import COLUMNS
from data_modules.twins.planting import write_csv

_SUBSETS = ("quilt", "quilt", "openpath", "pubmed", "laion")


def write_twin(root: Path, *, cases: int, seed: int) -> None:
    """Writes drawn tissue: one or two texts an image, frames of one "video" in one split.

    Args:
        root: Folder to write to.
        cases: Number of images.
        seed: Decides everything.
    """
    write_table(root, draw_rows(root, cases, seed))


def draw_rows(root: Path, cases: int, seed: int) -> list[list[str]]:
    """Draws the images and returns the table's rows, index first."""
    random = default_rng([seed, 12])
    (root / "quilt_1m").mkdir(parents=True, exist_ok=True)
    rows: list[list[str]] = []
    for index, tissue in enumerate(tissues(cases, random)):
        subset = _SUBSETS[index % len(_SUBSETS)]
        video = f"phantomvid{index // 10:02d}"
        name = f"{video}_image_{index:04d}.jpg" if subset == "quilt" else f"{subset}{index:04d}.png"
        draw_tissue(tissue, [seed, 12, index]).save(root / "quilt_1m" / name)
        rows.append(_row(len(rows), name, subset, tissue, index))
    return rows


def write_table(root: Path, rows: Sequence[list[str] | str], *, bom: bool = False) -> None:
    """Writes `quilt_1M_lookup.csv`."""
    write_csv(root / "quilt_1M_lookup.csv", ("", *COLUMNS), rows, bom=bom)


def _row(number: int, name: str, subset: str, tissue: Tissue, index: int) -> list[str]:
    words = tissue.words()
    spoken = subset == "quilt"
    concepts = [[{"entity": "nuclei", "concept_id": "C0007610", "confidence": 0.9}]]
    cells = {
        "caption": f"Phantom tissue with {words}.",
        "image_path": name,
        "subset": subset,
        "split": "val" if index // 10 % 4 == 3 else "train",
        "pathology": str(["Phantom", " Breast "][: 1 + index % 2]),
        "roi_text": str([f"Here we see {words}."]) if spoken else "",
        "noisy_text": f"so here uh we see {words}" if spoken else "",
        "corrected_text": f"Here we see {words}; it is drawn, not a patient's." if spoken else "",
        "med_umls_ids": str(concepts) if spoken else "",
        "magnification": f"{index % 3}.0" if spoken else "",
        "height": "128",
        "width": "128",
    }
    return [str(number), *(cells[column] for column in COLUMNS)]
