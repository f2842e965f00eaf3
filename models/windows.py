"""What each query of the SVA may look at: the cells of every tower under it.

Legend: N images, T towers, V vision width, a_t grid side of tower t, Q query side, r_t = a_t // Q
window side, M queries (over all images).

Source: cambrian.md section 5.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .host import sent
from .padding import padding_border


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
            keys=tuple(keys.index_select(0, queries) for keys in self.keys),
            masks=tuple(mask[queries] for mask in self.masks),
            context=self.context,
            image_index=self.image_index[queries],
        )


def grid_mask(sizes_wh: Sequence[tuple[int, int]], side: int) -> Tensor:
    """Cells of a tower's grid that show the image and not its padding.

    Args:
        sizes_wh: Original width and height of N images in pixels.
        side: Side of the grid.

    Returns:
        (N, side, side) bool in host memory, True on the image.
    """
    borders = torch.tensor([padding_border(*size, side) for size in sizes_wh]).reshape(-1, 2)
    cells = torch.arange(side)
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
        mask = cut_windows(grid_mask(sizes_wh, side), query_side)
        masks.append(sent(mask | ~mask.any(dim=1, keepdim=True), device))
    num_images = projected[0].shape[0]
    images = torch.arange(num_images, device=device)
    return Windows(
        keys=tuple(keys),
        masks=tuple(masks),
        context=projected[0].mean(dim=1),
        image_index=images.repeat_interleave(query_side**2),
    )
