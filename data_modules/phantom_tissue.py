"""Phantoms of stained tissue: dark nuclei on pink ground, in number and size as asked for."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.random import Generator, default_rng
from PIL import Image

NUCLEI = {"few": 6, "many": 24}
_RADIUS = {"small": 0.022, "large": 0.042}
_GROUND, _NUCLEUS = (232, 178, 205), (92, 52, 138)


class Tissue(NamedTuple):
    """What is drawn."""

    number: str
    size: str

    def words(self) -> str:
        """The truth about the drawing, e.g. ``many small nuclei``."""
        return f"{self.number} {self.size} nuclei"


def tissues(count: int, random: Generator) -> list[Tissue]:
    """Kinds of tissue, all four as often as they fit, in random order."""
    kinds = [Tissue(number, size) for number in NUCLEI for size in _RADIUS]
    return [kinds[i % len(kinds)] for i in random.permutation(count)]


def draw_tissue(tissue: Tissue, seed: int | Sequence[int], *, size_px: int = 128) -> Image.Image:
    """Draws nuclei that do not touch on ground with some noise.

    Args:
        tissue: What to draw.
        seed: Decides places and noise.
        size_px: Width and height.
    """
    random = default_rng(seed)
    axis = (np.arange(size_px) + 0.5) / size_px
    radius = _RADIUS[tissue.size]
    covered = np.zeros((size_px, size_px))
    for x, y in _apart(NUCLEI[tissue.number], 2.4 * radius, random):
        distance = np.hypot(axis[None, :] - x, axis[:, None] - y)
        covered = np.maximum(covered, np.clip((radius - distance) * size_px + 0.5, 0, 1))
    weight = covered[..., None]
    pixels = np.array(_GROUND) * (1 - weight) + np.array(_NUCLEUS) * weight
    pixels = pixels + random.normal(0, 5, pixels.shape)
    return Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))


def _apart(count: int, least: float, random: Generator) -> list[tuple[float, float]]:
    """Random centres that keep their distance from each other and from the edge."""
    found: list[tuple[float, float]] = []
    while len(found) < count:
        x, y = random.uniform(0.06, 0.94, 2).tolist()
        if all(np.hypot(x - a, y - b) > least for a, b in found):
            found.append((x, y))
    return found
