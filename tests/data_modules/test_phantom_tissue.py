import numpy as np
from numpy.random import default_rng

from data_modules.phantom_tissue import NUCLEI, Tissue, draw_tissue, tissues


def nuclei(tissue: Tissue, seed: int) -> tuple[int, float]:
    """Number of dark islands and their mean area, by flood fill."""
    dark = np.asarray(draw_tissue(tissue, seed))[..., 1] < 110
    areas = []
    while dark.any():
        stack = [tuple(np.argwhere(dark)[0])]
        area = 0
        while stack:
            y, x = stack.pop()
            if 0 <= y < dark.shape[0] and 0 <= x < dark.shape[1] and dark[y, x]:
                dark[y, x] = False
                area += 1
                stack += [(y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)]
        areas.append(area)
    return len(areas), float(np.mean(areas))


def test_the_words_are_true_of_the_drawing() -> None:
    areas: dict[str, list[float]] = {}
    for tissue in tissues(4, default_rng(0)):
        for seed in range(3):
            number, area = nuclei(tissue, seed)
            assert number == NUCLEI[tissue.number]
            areas.setdefault(tissue.size, []).append(area)
    assert max(areas["small"]) < min(areas["large"]) / 2


def test_the_seed_decides_everything() -> None:
    tissue = Tissue("few", "large")
    one, same, other = (np.asarray(draw_tissue(tissue, seed)) for seed in (1, 1, 2))
    assert (one == same).all()
    assert (one != other).any()
