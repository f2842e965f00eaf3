"""Vision towers through timm: exact feature selection on a square token grid.

Legend: N images, C channels of the tower, a side of its token grid.

Source: cambrian.md section 1. A resize to the grid that is already there is the identity, so it is
skipped for every kind of tower.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import timm
import torch
from timm.models.convnext import ConvNeXt
from torch import Tensor, nn
from torch.nn import functional as F

from .configuration import TowerSpec


class VisionTower(nn.Module):
    """One tower and the rule by which its features are taken; frozen until somebody unfreezes it.

    A tower of which no parameter requires a gradient runs without autograd state and, autocast or
    not, in the dtype of its own weights. Where the spec names that dtype, casting the model around
    the tower leaves it alone; casting ``backbone`` itself changes it.

    Args:
        spec: What the tower is. Without a timm model it holds no weights and cannot run.
    """

    def __init__(self, spec: TowerSpec) -> None:
        super().__init__()
        self.spec = spec
        self.backbone: Any = None
        if spec.timm_model is not None:
            self.backbone = timm.create_model(
                spec.timm_model, pretrained=False, num_classes=0, **spec.timm_kwargs
            )
            if spec.dtype is not None:
                self.backbone.to(getattr(torch, spec.dtype))
            for module in self.backbone.modules():
                # timm has initialised it; transformers must not do so again.
                module._is_hf_initialized = True
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
        pixels = pixels.to(next(self.backbone.parameters()).dtype)
        if isinstance(self.backbone, ConvNeXt):
            # Its blocks work on channels-last data. Hardly a gain, since timm's stem hands on this
            # format anyway (H200, 8 images, bfloat16: 141.1 ms against 143.0 ms).
            pixels = pixels.contiguous(memory_format=torch.channels_last)
        trained = any(parameter.requires_grad for parameter in self.parameters())
        with contextlib.nullcontext() if trained else _frozen(pixels.device.type):
            return self._features(pixels)

    def _features(self, pixels: Tensor) -> Tensor:
        if self.spec.features == "stages":
            maps = self.backbone.forward_intermediates(pixels, intermediates_only=True)
            return self._join(maps)
        last_but = 1 if self.spec.features == "last" else 2
        maps = self.backbone.forward_intermediates(
            pixels,
            indices=[len(self.backbone.blocks) - last_but],
            norm=self.spec.features == "last",
            stop_early=True,
            intermediates_only=True,
        )
        return self._join(maps)

    def _join(self, maps: Sequence[Tensor]) -> Tensor:
        """Feature maps (N, C_i, h_i, w_i) on one grid, as tokens (N, a², sum of all C_i)."""
        resized = [resize_grid(each, self.spec.grid_side) for each in maps]
        return torch.cat(resized, dim=1).flatten(2).transpose(1, 2)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        """Behind ``to``, ``half``, ``cuda`` ...: moves the tower, keeps the dtype its spec names.

        Lightning's ``bf16-true`` casts the whole model through here.
        """
        if self.spec.dtype is None:
            return super()._apply(fn, recurse)  # type: ignore[no-untyped-call]

        def move(tensor: Tensor) -> Tensor:
            moved = fn(tensor)
            return moved if moved.dtype == tensor.dtype else tensor.to(moved.device)

        return super()._apply(move, recurse)  # type: ignore[no-untyped-call]


@contextlib.contextmanager
def _frozen(device_type: str) -> Iterator[None]:
    """No autograd state, and no autocast to another dtype than the weights'."""
    with torch.no_grad(), contextlib.ExitStack() as stack:
        if torch.amp.is_autocast_available(device_type):
            stack.enter_context(torch.autocast(device_type, enabled=False))
        yield


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
    # A GPU's kernel sums in float32 whatever it reads, but adds gradients up in the grid's dtype.
    wide = grid if grid.is_cuda and not grid.requires_grad else grid.float()
    if grid.is_cuda:
        # It is up to 30 times faster on channels-last data.
        wide = wide.contiguous(memory_format=torch.channels_last)
    resized = F.interpolate(wide, size=(side, side), mode="bilinear", align_corners=False)
    return resized.to(grid.dtype)
