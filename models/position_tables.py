"""Position tables of vision transformers, resampled to another grid when weights are loaded.

The rules differ by who wrote them, and with the same weights they give different features; at the
grid a table was trained for nothing is resampled and they agree. A tower is frozen at one input
size, so resampling once at load gives what the official code computes anew in every forward pass.

Source: cambrian.md section 1.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from .configuration import PositionRule


def resample_position_table(
    table: Tensor, side: int, *, num_prefix: int, rule: PositionRule
) -> Tensor:
    """Bicubic resampling in float32 with ``align_corners=False``; prefix rows are kept as they are.

    Args:
        table: (1, num_prefix + g², C), rows of the grid one after another.
        side: Side of the wanted grid.
        num_prefix: Rows in front that belong to no patch, such as the class token's.
        rule: ``scale_factor``: no antialiasing, sampled at steps of g / (side + 0.1), not g / side:
            transformers up to 4.37, so the official environment. ``size``: no antialiasing, at
            steps of g / side: transformers 5. ``antialias``: at those steps with antialiasing:
            timm.

    Returns:
        (1, num_prefix + side², C) in the dtype of ``table``; ``table`` itself at its own grid.
    """
    own_side = table_side(table, num_prefix)
    if own_side == side:
        return table
    grid = table[:, num_prefix:].float().reshape(1, own_side, own_side, -1).permute(0, 3, 1, 2)
    if rule == "scale_factor":
        factor = (side + 0.1) / own_side
        sampled = F.interpolate(
            grid, scale_factor=(factor, factor), mode="bicubic", align_corners=False
        )
    else:
        sampled = F.interpolate(
            grid,
            size=(side, side),
            mode="bicubic",
            align_corners=False,
            antialias=rule == "antialias",
        )
    rows = sampled.permute(0, 2, 3, 1).flatten(1, 2).to(table.dtype)
    return torch.cat([table[:, :num_prefix], rows], dim=1)


def table_side(table: Tensor, num_prefix: int) -> int:
    """Side of a table's square grid.

    Args:
        table: (1, num_prefix + g², C).
        num_prefix: Rows in front that belong to no patch.

    Raises:
        ValueError: The other rows make no square grid.
    """
    rows = table.shape[1] - num_prefix
    side = math.isqrt(max(rows, 0))
    if side < 1 or side**2 != rows:
        raise ValueError(
            f"position table of shape {tuple(table.shape)}: {rows} rows besides {num_prefix} "
            "prefix rows; expected a square number"
        )
    return side
