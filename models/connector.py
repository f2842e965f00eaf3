"""Spatial Vision Aggregator (SVA): queries gather from the cells of every tower under them.

Legend: N images, T towers, V vision width, a_t grid side of tower t, Q query side, r_t = a_t // Q
window side, M queries (over all images), q width of the queries.

Source: cambrian.md sections 4 to 7.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .configuration import NUM_HEADS
from .padding import padding_border
from .towers import resize_grid


@dataclass(frozen=True)
class Windows:
    """What M queries may look at.

    Attributes:
        keys: T tensors (M, r_t², V).
        masks: T tensors (M, r_t²) bool, True where a key may be attended.
        context: (N, V), global context of each image.
        image_index: (M,) int64, the image of each query.
    """

    keys: tuple[Tensor, ...]
    masks: tuple[Tensor, ...]
    context: Tensor
    image_index: Tensor

    def select(self, queries: Tensor) -> "Windows":
        """The windows of some queries.

        Args:
            queries: (M',) int64, indices of queries.
        """
        return Windows(
            keys=tuple(keys[queries] for keys in self.keys),
            masks=tuple(mask[queries] for mask in self.masks),
            context=self.context,
            image_index=self.image_index[queries],
        )


def projector(in_dim: int, out_dim: int) -> nn.Sequential:
    """Per-tower projector to the vision width: Linear, GELU, Linear, LayerNorm."""
    return nn.Sequential(
        nn.Linear(in_dim, out_dim), nn.GELU(), nn.Linear(out_dim, out_dim), nn.LayerNorm(out_dim)
    )


def grid_mask(sizes_wh: Sequence[tuple[int, int]], side: int, device: torch.device) -> Tensor:
    """Cells of a tower's grid that show the image and not its padding.

    Args:
        sizes_wh: Original width and height of N images in pixels.
        side: Side of the grid.
        device: Where the mask is needed.

    Returns:
        (N, side, side) bool, True on the image.
    """
    borders = torch.tensor(
        [padding_border(width, height, side) for width, height in sizes_wh], device=device
    ).reshape(-1, 2)
    cells = torch.arange(side, device=device)
    inside = (cells >= borders[..., None]) & (cells < side - borders[..., None])
    rows, columns = inside.unbind(1)
    return rows[:, :, None] & columns[:, None, :]


def cut_windows(grid: Tensor, query_side: int) -> Tensor:
    """Cuts a square grid into the windows of a query grid.

    Args:
        grid: (N, a, a, ...), a a multiple of ``query_side``.
        query_side: Q.

    Returns:
        (N·Q², r², ...): query n·Q² + r·Q + c, key i·r + j, both row-major.
    """
    num_images, side, _, *rest = grid.shape
    window = side // query_side
    split = grid.reshape(num_images, query_side, window, query_side, window, *rest)
    return split.transpose(2, 3).reshape(num_images * query_side**2, window**2, *rest)


def make_windows(
    projected: Sequence[Tensor], sizes_wh: Sequence[tuple[int, int]], query_side: int
) -> Windows:
    """Windows of a full query grid over the projected features of every tower.

    A window of which every cell is padding may be attended as a whole: the rule is per tower.

    Args:
        projected: T tensors (N, a_t², V).
        sizes_wh: Original width and height of the N images in pixels.
        query_side: Q.

    Returns:
        The windows of M = N·Q² queries.
    """
    device = projected[0].device
    keys, masks = [], []
    for tokens in projected:
        side = int(tokens.shape[1] ** 0.5)
        keys.append(cut_windows(tokens.reshape(-1, side, side, tokens.shape[-1]), query_side))
        mask = cut_windows(grid_mask(sizes_wh, side, device), query_side)
        masks.append(mask | ~mask.any(dim=1, keepdim=True))
    num_images = projected[0].shape[0]
    images = torch.arange(num_images, device=device)
    return Windows(
        keys=tuple(keys),
        masks=tuple(masks),
        context=projected[0].mean(dim=1),
        image_index=images.repeat_interleave(query_side**2),
    )


class SamplerLayer(nn.Module):
    """One SVA layer: each query attends jointly to its window of every tower.

    Args:
        query_dim: q, width of the queries.
        dim: V, width of keys and of the attention.
        window_sides: r_t of each tower; a tower with r_t = 1 has no position embedding.
    """

    def __init__(self, query_dim: int, dim: int, window_sides: Sequence[int]) -> None:
        super().__init__()
        self.proj_context = nn.Linear(dim, dim, bias=False)
        self.proj_in = nn.Linear(query_dim + dim, dim, bias=False)
        self.pos_embed = nn.ParameterDict(
            {
                str(t): nn.Parameter(torch.empty(side**2, dim))
                for t, side in enumerate(window_sides)
                if side > 1
            }
        )
        self.q_proj = _normed_linear(dim)
        self.k_proj = nn.ModuleList(_normed_linear(dim) for _ in window_sides)
        self.v_proj = nn.ModuleList(_normed_linear(dim) for _ in window_sides)
        self.o_proj = nn.Linear(dim, dim, bias=False)
        self.norm = nn.LayerNorm(dim)
        self.proj_out = nn.Sequential(
            nn.Linear(dim, dim, bias=False), nn.GELU(), nn.Linear(dim, query_dim, bias=False)
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws the position embeddings from N(0, 1); the other modules reset themselves."""
        for embedding in self.pos_embed.values():
            nn.init.normal_(embedding)

    def forward(self, query: Tensor, windows: Windows) -> Tensor:
        """Updates queries from their windows.

        Args:
            query: (M, q).
            windows: What the M queries may look at.

        Returns:
            (M, q).
        """
        context = self.proj_context(windows.context)[windows.image_index]
        inner = self.proj_in(torch.cat([query, context], dim=-1))
        attended = self._attend(self.q_proj(inner), windows)
        update: Tensor = self.proj_out(self.norm(inner + self.o_proj(attended)))
        return query + update

    def _attend(self, query: Tensor, windows: Windows) -> Tensor:
        keys, values = [], []
        for t, tokens in enumerate(windows.keys):
            placed = tokens + self.pos_embed[str(t)] if str(t) in self.pos_embed else tokens
            keys.append(self.k_proj[t](placed))
            values.append(self.v_proj[t](placed))
        # Windows hold some twenty keys: products and sums over whole tensors cost less than one
        # small matrix product per query and head.
        num_queries, dim = query.shape
        heads = (NUM_HEADS, dim // NUM_HEADS)
        query_MHD = query.reshape(num_queries, *heads)
        key_MKHD = torch.cat(keys, dim=1).reshape(num_queries, -1, *heads)
        value_MKHD = torch.cat(values, dim=1).reshape(num_queries, -1, *heads)
        score_MKH = (query_MHD[:, None] * key_MKHD).sum(-1) * heads[1] ** -0.5
        mask_MK = torch.cat(windows.masks, dim=1)
        weight_MKH: Tensor = score_MKH.masked_fill(~mask_MK[..., None], -torch.inf).softmax(dim=1)
        return (weight_MKH[..., None] * value_MKHD).sum(1).flatten(1)


def _normed_linear(dim: int) -> nn.Sequential:
    return nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, dim, bias=False))


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
            hidden = start.expand(len(seen.image_index), -1)
            for layer in layers:  # type: ignore[attr-defined]
                hidden = layer(hidden, seen)
            grid = hidden.reshape(-1, side, side, hidden.shape[-1]).permute(0, 3, 1, 2)
            outputs.append(resize_grid(grid, self.image_side).flatten(2).transpose(1, 2))
        return torch.cat(outputs, dim=-1)
