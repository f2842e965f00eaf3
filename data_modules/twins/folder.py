"""The twin of a folder of bare images."""

from pathlib import Path

from numpy.random import default_rng

from data_modules.folder import IMAGE_SUFFIXES
from data_modules.phantoms import design, draw


def write_twin(root: Path, *, cases: int, seed: int) -> None:
    """Writes bare phantoms: one folder a case, one or two images in each, PNG and JPEG in turn.

    Args:
        root: Folder to write to.
        cases: Number of folders.
        seed: Decides everything.
    """
    random = default_rng([seed, 2])
    for index, factors in enumerate(design(cases, random)):
        folder = root / f"case{index + 1:04d}"
        folder.mkdir(parents=True, exist_ok=True)
        for view in range(1 + index % 2):
            phantom = draw(factors, [seed, 2, index, view])
            phantom.image().save(folder / f"image{view + 1}{IMAGE_SUFFIXES[view]}")
