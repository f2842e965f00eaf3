"""Lesion-free drawings of five organs, from ellipses. Phantoms, not patients.

Coordinates are fractions of the image: x to the right, y down. Radiological convention: the
patient's right is at the image's left. Every drawing is symmetric enough that the two sides of an
organ differ by their place only; the liver's fissure lies at the midline (in people it lies to the
right of it), so that its lobes are sides, too.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

MIDLINE = 0.5


class Canvas:
    """A grey image that ellipses are painted on.

    Args:
        size_px: Width and height in pixels.
        shift_xy: Displacement of the anatomy, as fractions of the image.
        scale: Size of the anatomy, 1 for nominal.
    """

    def __init__(self, size_px: int, *, shift_xy: tuple[float, float], scale: float) -> None:
        self.size_px = size_px
        self._shift_xy = shift_xy
        self._scale = scale
        self._axis = (np.arange(size_px, dtype=np.float32) + 0.5) / size_px
        self.pixels = np.full((size_px, size_px), 0.02, dtype=np.float32)

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Pixel coordinates of an anatomical point."""
        unit = [
            MIDLINE + (value - MIDLINE) * self._scale + shift
            for value, shift in zip((x, y), self._shift_xy, strict=True)
        ]
        return unit[0] * self.size_px, unit[1] * self.size_px

    def length(self, fraction: float) -> float:
        """Pixels that an anatomical length takes."""
        return fraction * self._scale * self.size_px

    def coverage(self, x: float, y: float, rx: float, ry: float) -> NDArray[np.float32]:
        """How much of each pixel an ellipse covers, 0..1, with an edge about one pixel wide."""
        centre_x, centre_y = self.place(x, y)
        radius_x, radius_y = self.length(rx), self.length(ry)
        across = (self._axis * self.size_px - centre_x) / radius_x
        down = (self._axis * self.size_px - centre_y) / radius_y
        distance = np.sqrt(across[None, :] ** 2 + down[:, None] ** 2)
        return np.clip((1 - distance) * min(radius_x, radius_y) + 0.5, 0, 1)

    def ellipse(
        self, x: float, y: float, rx: float, ry: float, *, value: float, opacity: float = 1.0
    ) -> None:
        """Paints an ellipse."""
        weight = opacity * self.coverage(x, y, rx, ry)
        self.pixels += weight * (value - self.pixels)

    def pair(
        self, x: float, y: float, rx: float, ry: float, *, value: float, opacity: float = 1.0
    ) -> None:
        """Paints an ellipse and its mirror image."""
        self.ellipse(x, y, rx, ry, value=value, opacity=opacity)
        self.ellipse(2 * MIDLINE - x, y, rx, ry, value=value, opacity=opacity)


@dataclass(frozen=True, kw_only=True)
class Organ:
    """What is drawn, and what is true of it.

    Attributes:
        name: The answer to "which organ": ``brain``, ``lungs``, ...
        modality: One of `semihvision.core.record.MODALITIES`.
        body_part: One of `semihvision.core.record.BODY_PARTS`.
        view: Plane or projection.
        part: Half of the organ with ``{side}`` to fill in, e.g. ``{side} lung``.
        centre_xy: Middle of the ellipse that lesion centres fall in, on the patient's right.
        reach_xy: Its half-axes.
        draw: Paints the organ without lesions.
    """

    name: str
    modality: str
    body_part: str
    view: str
    part: str
    centre_xy: tuple[float, float]
    reach_xy: tuple[float, float]
    draw: Callable[[Canvas, Generator], None]

    def site(self, side: str) -> str:
        """The half of the organ on one side, in words."""
        return self.part.format(side=side)


def _brain(canvas: Canvas, random: Generator) -> None:
    canvas.ellipse(0.5, 0.5, 0.38, 0.46, value=random.uniform(0.6, 0.75))
    canvas.ellipse(0.5, 0.5, 0.355, 0.435, value=0.06)
    canvas.ellipse(0.5, 0.5, 0.335, 0.415, value=random.uniform(0.38, 0.48))
    ventricle = random.uniform(0.08, 0.13)
    canvas.pair(0.46, 0.48, random.uniform(0.025, 0.04), ventricle, value=0.1)
    canvas.ellipse(0.5, 0.5, 0.006, 0.4, value=0.2)


def _lungs(canvas: Canvas, random: Generator) -> None:
    canvas.ellipse(0.5, 0.62, 0.46, 0.62, value=random.uniform(0.45, 0.55))
    lung = random.uniform(0.14, 0.22)
    canvas.pair(0.31, 0.47, random.uniform(0.15, 0.17), random.uniform(0.29, 0.33), value=lung)
    for rib in range(6):
        height = 0.2 + 0.1 * rib
        canvas.pair(0.31, height, 0.17, 0.045, value=0.5, opacity=0.22)
        canvas.pair(0.31, height + 0.014, 0.16, 0.04, value=lung, opacity=0.22)
    canvas.ellipse(0.5, 0.45, 0.05, 0.5, value=0.66)
    canvas.ellipse(0.545, 0.66, random.uniform(0.1, 0.12), 0.13, value=0.64)
    canvas.pair(0.3, 0.88, 0.19, random.uniform(0.1, 0.13), value=0.6)


def _breasts(canvas: Canvas, random: Generator) -> None:
    canvas.pair(0.28, 0.4, random.uniform(0.18, 0.2), random.uniform(0.28, 0.31), value=0.26)
    gland = random.uniform(0.36, 0.46)
    canvas.pair(0.28, 0.38, random.uniform(0.1, 0.14), random.uniform(0.16, 0.21), value=gland)
    canvas.ellipse(0.5, 0.98, 0.47, 0.34, value=random.uniform(0.42, 0.5))
    canvas.pair(0.3, 0.93, 0.13, 0.16, value=0.08)
    canvas.ellipse(0.55, 0.86, 0.12, 0.09, value=0.62)


def _liver(canvas: Canvas, random: Generator) -> None:
    canvas.ellipse(0.5, 0.5, 0.47, 0.4, value=random.uniform(0.22, 0.28))
    canvas.ellipse(0.5, 0.5, 0.445, 0.375, value=0.34)
    liver = random.uniform(0.5, 0.58)
    canvas.pair(0.34, 0.4, random.uniform(0.19, 0.21), random.uniform(0.23, 0.25), value=liver)
    canvas.ellipse(0.26, 0.5, 0.15, 0.2, value=liver)
    canvas.ellipse(0.5, 0.38, 0.008, 0.2, value=0.2)
    canvas.ellipse(0.5, 0.8, random.uniform(0.065, 0.08), 0.07, value=0.85)
    canvas.ellipse(0.55, 0.68, 0.03, 0.03, value=0.7)
    canvas.ellipse(0.78, 0.66, 0.09, 0.07, value=0.45)


def _kidneys(canvas: Canvas, random: Generator) -> None:
    canvas.ellipse(0.5, 0.52, 0.42, 0.62, value=random.uniform(0.24, 0.32))
    for vertebra in range(8):
        canvas.ellipse(0.5, 0.06 + 0.12 * vertebra, 0.055, 0.05, value=0.82)
    kidney = random.uniform(0.52, 0.6)
    canvas.pair(0.28, 0.42, random.uniform(0.125, 0.14), random.uniform(0.25, 0.27), value=kidney)
    canvas.pair(0.34, 0.42, 0.03, random.uniform(0.06, 0.09), value=0.3)
    canvas.pair(0.27, 0.93, 0.14, 0.11, value=0.8)
    canvas.pair(0.3, 0.92, 0.1, 0.08, value=0.4)


ORGANS: dict[str, Organ] = {
    organ.name: organ
    for organ in (
        Organ(
            name="brain", modality="mr", body_part="head_neck", view="axial",
            part="{side} cerebral hemisphere", centre_xy=(0.33, 0.5), reach_xy=(0.08, 0.23),
            draw=_brain,
        ),
        Organ(
            name="lungs", modality="xray", body_part="thorax", view="frontal",
            part="{side} lung", centre_xy=(0.3, 0.45), reach_xy=(0.08, 0.2), draw=_lungs,
        ),
        Organ(
            name="breasts", modality="mr", body_part="thorax", view="axial",
            part="{side} breast", centre_xy=(0.28, 0.37), reach_xy=(0.09, 0.18), draw=_breasts,
        ),
        Organ(
            name="liver", modality="ct", body_part="abdomen", view="axial",
            part="{side} lobe of the liver", centre_xy=(0.33, 0.41), reach_xy=(0.1, 0.17),
            draw=_liver,
        ),
        Organ(
            name="kidneys", modality="ct", body_part="abdomen", view="coronal",
            part="{side} kidney", centre_xy=(0.28, 0.42), reach_xy=(0.065, 0.2), draw=_kidneys,
        ),
    )
}  # fmt: skip
"""Organ name -> what is drawn."""
