"""Weights of small towers for tests."""

import torch
from torch import Tensor

from models.towers import VisionTower


def published(tower: VisionTower) -> dict[str, Tensor]:
    """Other weights for a tower, in timm's names, with a head as timm's files have it."""
    weights = {name: torch.randn_like(value) for name, value in tower.backbone.state_dict().items()}
    return weights | {"head.weight": torch.randn(3, 16), "head.bias": torch.randn(3)}


def assert_holds(tower: VisionTower, weights: dict[str, Tensor]) -> None:
    for name, value in tower.backbone.state_dict().items():
        assert torch.equal(value, weights[name]), name
