"""The SVA connector: from projected tower features to one image grid.

Legend: N images, M queries (over all images), V vision width, a_t grid side of tower t, Q query
side, S image side, G query groups.

Source: cambrian.md sections 4 and 7.
"""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from .sva import SamplerLayer
from .towers import resize_grid
from .windows import Windows


def projector(in_dim: int, out_dim: int) -> nn.Sequential:
    """Per-tower projector to the vision width: Linear, GELU, Linear, LayerNorm."""
    return nn.Sequential(
        nn.Linear(in_dim, out_dim), nn.GELU(), nn.Linear(out_dim, out_dim), nn.LayerNorm(out_dim)
    )


class Connector(nn.ModuleList):
    """The SVA connector: one stack of layers per query group (`groups[g][depth]`).

    Args:
        dim: V.
        query_sides: Q of each group.
        grid_sides: a_t of each tower.
        depth: Layers per group.
        image_side: S, side of the grid that is handed on.
    """

    def __init__(
        self,
        dim: int,
        query_sides: Sequence[int],
        grid_sides: Sequence[int],
        *,
        depth: int,
        image_side: int,
    ) -> None:
        super().__init__(
            nn.ModuleList(
                SamplerLayer(dim, dim, [grid // side for grid in grid_sides]) for _ in range(depth)
            )
            for side in query_sides
        )
        self.query_sides = tuple(query_sides)
        self.image_side = image_side

    def forward(self, query: Tensor, windows: Sequence[Windows]) -> Tensor:
        """Aggregates the towers on the image grid.

        Args:
            query: (G, V), the start value of every query of a group.
            windows: Windows on the query grid of each group.

        Returns:
            (N, S², G·V).
        """
        outputs = []
        for start, side, layers, seen in zip(query, self.query_sides, self, windows, strict=True):
            first, *others = cast(nn.ModuleList, layers)
            hidden = first(start[None], seen, shared=True)
            for layer in others:
                hidden = layer(hidden, seen)
            grid = hidden.reshape(-1, side, side, hidden.shape[-1]).permute(0, 3, 1, 2)
            outputs.append(resize_grid(grid, self.image_side).flatten(2).transpose(1, 2))
        return torch.cat(outputs, dim=-1)
