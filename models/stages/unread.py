"""Weights of a tower that its features do not depend on, such as blocks behind the layer read."""

from dataclasses import replace

import torch

from models.configuration import TowerSpec
from models.towers import VisionTower


def unread_parameters(spec: TowerSpec) -> frozenset[str]:
    """Names of parameters that never get a gradient, as ``VisionTower.named_parameters`` has them.

    Found by running the tower forward and backward on the meta device. CLIP is read at its last
    layer but one: nothing comes of the last block and the final norm.

    Args:
        spec: Of the tower.
    """
    with torch.device("meta"):
        tower = VisionTower(replace(spec, dtype=None)).requires_grad_()
        pixels = torch.empty(1, 3, spec.input_side_px, spec.input_side_px)
    tower(pixels).sum().backward()
    return frozenset(name for name, p in tower.named_parameters() if p.grad is None)
