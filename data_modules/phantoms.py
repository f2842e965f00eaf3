"""Phantoms: procedural images of organs with lesions, and the exact truth about each drawing.

Organ, side, size and number of the lesions vary independently of each other (`design`), anatomy
and grey values vary from drawing to drawing, and everything follows from the seed. A phantom
teaches and tests a pipeline; nothing about patients can be learnt from one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import NamedTuple

import numpy as np
from numpy.random import Generator, default_rng
from numpy.typing import NDArray
from PIL import Image

from data_modules.phantom_anatomy import MIDLINE, ORGANS, Canvas, Organ

SIDES = ("left", "right")
SIZES = ("small", "large")
NUMBERS = (1, 2, 3)

_RADIUS = {"small": (0.034, 0.04), "large": (0.07, 0.078)}
"""Range of lesion radii as fractions of the image: the two sizes never overlap."""
_GAP = 0.03
"""Least distance between the edges of two lesions, as a fraction of the image."""
_PLACEMENTS_TRIED = 1024


class Factors(NamedTuple):
    """What is drawn; with `number` 0 there is no lesion, and side and size mean nothing."""

    organ: str
    side: str
    size: str
    number: int


@dataclass(frozen=True, kw_only=True)
class Lesion:
    """One drawn lesion: an ellipse with axes along the image's.

    Attributes:
        centre_xy: Centre in pixels.
        radii_xy: Half-axes in pixels.
        box_xyxy: Box of all pixels that the lesion changes; right and bottom are exclusive.
    """

    centre_xy: tuple[float, float]
    radii_xy: tuple[float, float]
    box_xyxy: tuple[int, int, int, int]


@dataclass(frozen=True, kw_only=True)
class Phantom:
    """A drawing and its truth.

    Attributes:
        pixels: (size, size) float32 in 0..1.
        factors: What was asked for, and is drawn.
        lesions: The lesions, from top to bottom.
        midline_x: Column of the anatomical midline in pixels; the patient's right is left of it.
    """

    pixels: NDArray[np.float32]
    factors: Factors
    lesions: tuple[Lesion, ...]
    midline_x: float

    @property
    def organ(self) -> Organ:
        """The organ drawn."""
        return ORGANS[self.factors.organ]

    def image(self) -> Image.Image:
        """The drawing as an 8-bit grey image."""
        return Image.fromarray(np.rint(self.pixels * 255).astype(np.uint8))


def draw(
    factors: Factors, seed: int | Sequence[int], *, size_px: int = 128, with_lesions: bool = True
) -> Phantom:
    """Draws a phantom.

    Args:
        factors: What to draw.
        seed: Decides anatomy, places, grey values and noise.
        size_px: Width and height, at least 48.
        with_lesions: False leaves the lesions' pixels untouched and everything else the same; the
            truth still names them.

    Returns:
        The drawing with its truth.
    """
    random = default_rng(seed)
    organ = ORGANS[factors.organ]
    shift = random.uniform(-0.025, 0.025, 2)
    canvas = Canvas(
        size_px,
        shift_xy=(float(shift[0]), float(shift[1])),
        scale=float(random.uniform(0.94, 1.04)),
    )
    organ.draw(canvas, random)
    gain, noise = random.uniform(0.85, 1.05), random.uniform(0.015, 0.035)
    texture = _texture(random, size_px) * 0.04 + random.normal(0, noise, (size_px, size_px))
    lesions = tuple(
        _paint(canvas, random, x, y, radius, visible=with_lesions)
        for x, y, radius in _places(organ, factors, random)
    )
    return Phantom(
        pixels=np.clip(canvas.pixels * gain + texture, 0, 1).astype(np.float32),
        factors=factors,
        lesions=lesions,
        midline_x=canvas.place(MIDLINE, MIDLINE)[0],
    )


def design(count: int, random: Generator, organs: Sequence[str] = tuple(ORGANS)) -> list[Factors]:
    """Factors of `count` phantoms, balanced and independent of each other.

    All combinations occur equally often as far as they fit; in the remainder every factor by
    itself is as even as it can be. The order is random.

    Args:
        count: How many phantoms.
        random: Source of the order.
        organs: Organs to choose from.
    """
    cells = [Factors(*cell) for cell in product(organs, SIDES, SIZES, NUMBERS)]
    chosen = cells * (count // len(cells))
    rest = count - len(chosen)
    columns = [
        random.permutation([values[i % len(values)] for i in range(rest)]).tolist()
        for values in (
            random.permutation(list(organs)),
            random.permutation(SIDES),
            random.permutation(SIZES),
            random.permutation(NUMBERS),
        )
    ]
    chosen += [Factors(*cell) for cell in zip(*columns, strict=True)]
    return [chosen[i] for i in random.permutation(count)]


def _places(organ: Organ, factors: Factors, random: Generator) -> list[tuple[float, float, float]]:
    """Centres and radii, from top to bottom, as fractions of the image; none touches another."""
    radii = random.uniform(*_RADIUS[factors.size], size=factors.number)
    x, y = _apart(organ, radii, random)
    if factors.side == "left":
        x = 2 * MIDLINE - x
    places = zip(x.tolist(), y.tolist(), radii.tolist(), strict=True)
    return sorted(places, key=lambda place: place[1])


def _apart(
    organ: Organ, radii: NDArray[np.float64], random: Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Random centres on the patient's right whose lesions keep their distance."""
    shape = (_PLACEMENTS_TRIED, len(radii))
    while True:  # the first round nearly always holds a fitting one
        angle, reach = random.uniform(0, 2 * np.pi, shape), np.sqrt(random.uniform(0, 1, shape))
        x = organ.centre_xy[0] + organ.reach_xy[0] * reach * np.cos(angle)
        y = organ.centre_xy[1] + organ.reach_xy[1] * reach * np.sin(angle)
        fits = np.ones(_PLACEMENTS_TRIED, dtype=bool)
        for i, j in combinations(range(len(radii)), 2):
            least = radii[i] + radii[j] + _GAP
            fits &= np.hypot(x[:, i] - x[:, j], y[:, i] - y[:, j]) > least
        if fits.any():
            first = int(np.argmax(fits))
            return x[first], y[first]


def _paint(
    canvas: Canvas, random: Generator, x: float, y: float, radius: float, *, visible: bool
) -> Lesion:
    stretch = random.uniform(0.88, 1.0)
    rx, ry = (radius, radius * stretch) if random.random() < 0.5 else (radius * stretch, radius)
    value = random.uniform(0.9, 1.0)
    rows, columns = np.nonzero(canvas.coverage(x, y, rx, ry))
    if visible:
        canvas.ellipse(x, y, rx, ry, value=value)
    return Lesion(
        centre_xy=canvas.place(x, y),
        radii_xy=(canvas.length(rx), canvas.length(ry)),
        box_xyxy=(
            int(columns.min()),
            int(rows.min()),
            int(columns.max()) + 1,
            int(rows.max()) + 1,
        ),
    )


def _texture(random: Generator, size_px: int) -> NDArray[np.float32]:
    """Smooth random variation, about -1..1, of the same kind at every image size."""
    coarse = Image.fromarray(random.normal(0, 0.5, (12, 12)).astype(np.float32))
    return np.asarray(coarse.resize((size_px, size_px), Image.Resampling.BICUBIC))
