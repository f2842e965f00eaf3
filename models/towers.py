"""Vision towers through timm: exact feature selection on a square token grid.

Legend: N images, C channels of the tower, a side of its token grid.

Source: cambrian.md section 1. A resize to the grid that is already there is the identity, so it is
skipped for every kind of tower.
"""

import contextlib

import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .configuration import TowerSpec


class VisionTower(nn.Module):
    """One tower and the rule by which its features are taken; frozen until somebody unfreezes it.

    A tower of which no parameter requires a gradient runs without autograd state. It computes in
    the dtype of its own weights.

    Args:
        spec: What the tower is. Without a timm model it holds no weights and cannot run.
    """

    def __init__(self, spec: TowerSpec) -> None:
        super().__init__()
        self.spec = spec
        self.backbone: nn.Module | None = None
        if spec.timm_model is not None:
            self.backbone = timm.create_model(
                spec.timm_model, pretrained=False, num_classes=0, **spec.timm_kwargs
            )
            for module in self.backbone.modules():
                # timm has initialised it; transformers must not do so again.
                module._is_hf_initialized = True  # type: ignore[assignment]
        self.requires_grad_(False)

    def forward(self, pixels: Tensor) -> Tensor:
        """Features of images.

        Args:
            pixels: (N, 3, input_side_px, input_side_px), normalised.

        Returns:
            (N, a², C), row by row.

        Raises:
            ValueError: The tower has no model, or the pixels have another size than it takes.
        """
        if self.backbone is None:
            raise ValueError(
                f"tower {self.spec.name!r} has no timm model; pass its features as tower_features"
            )
        side = self.spec.input_side_px
        if pixels.shape[1:] != (3, side, side):
            raise ValueError(
                f"tower {self.spec.name!r}: pixels of shape {tuple(pixels.shape)}; expected "
                f"(N, 3, {side}, {side})"
            )
        trained = any(parameter.requires_grad for parameter in self.parameters())
        with contextlib.nullcontext() if trained else torch.no_grad():
            dtype = next(self.backbone.parameters()).dtype
            return self._features(pixels.to(dtype))

    def _features(self, pixels: Tensor) -> Tensor:
        if self.spec.features == "stages":
            maps = self.backbone.forward_intermediates(pixels, intermediates_only=True)  # type: ignore[union-attr, operator]
            resized = [resize_grid(stage, self.spec.grid_side) for stage in maps]
            return torch.cat(resized, dim=1).flatten(2).transpose(1, 2)
        last_but = 1 if self.spec.features == "last" else 2
        (grid,) = self.backbone.forward_intermediates(  # type: ignore[union-attr, operator]
            pixels,
            indices=[len(self.backbone.blocks) - last_but],  # type: ignore[union-attr, arg-type]
            norm=self.spec.features == "last",
            stop_early=True,
            intermediates_only=True,
        )
        return resize_grid(grid, self.spec.grid_side).flatten(2).transpose(1, 2)


def resize_grid(grid: Tensor, side: int) -> Tensor:
    """Resizes a feature grid: bilinear in float32, ``align_corners=False``, no antialiasing.

    Args:
        grid: (N, C, h, w).
        side: Side of the result.

    Returns:
        (N, C, side, side) in the dtype of ``grid``.
    """
    if grid.shape[-2:] == (side, side):
        return grid
    resized = F.interpolate(grid.float(), size=(side, side), mode="bilinear", align_corners=False)
    return resized.to(grid.dtype)
