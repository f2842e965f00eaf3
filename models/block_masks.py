"""Which blocks of a packed row FlexAttention has to visit, without making the row's whole mask.

PyTorch's `create_block_mask` asks about every pair of positions, 67 million for a row of 8,192, and
costs a GPU more time than the attention of a layer. Here a block of 128 positions is asked for the
segments it touches: a block of keys is visited by the queries that are not before it and share a
segment with it, and needs no mask where every pair is allowed. A block too many costs time only,
for within a visited block the rule of `Segments.sight` decides.

Legend: B rows, L' length, U blocks of a row.
"""

from typing import Any

import torch
from torch import Tensor

from .segments import Segments, run_starts

_BLOCK = 128
"""Positions a block, FlexAttention's own default."""


def flex_block_mask(segments: Segments, position_ids: Tensor, window: int | None) -> Any:
    """The ``BlockMask`` of packed rows.

    Args:
        segments: How the rows are divided.
        position_ids: Those of `Segments.position_ids`.
        window: See `Segments.sight`.
    """
    from torch.nn.attention.flex_attention import BlockMask

    touched_BUU, whole_BUU = visited_blocks(segments)
    if window is not None:
        whole_BUU = torch.zeros_like(whole_BUU)
    return BlockMask.from_kv_blocks(
        *_listed(touched_BUU & ~whole_BUU),
        *_listed(whole_BUU),
        BLOCK_SIZE=_BLOCK,
        mask_mod=segments.sight(position_ids, window),
        seq_lengths=(position_ids.shape[1],) * 2,
    )


def visited_blocks(segments: Segments) -> tuple[Tensor, Tensor]:
    """Blocks of queries (rows) against blocks of keys (columns).

    Args:
        segments: How the rows are divided.

    Returns:
        (B, U, U) bool each: blocks with an allowed pair, or a few more; and those of them in which
        all pairs are allowed as long as attention does not slide, or a few less.
    """
    groups = segments.groups()
    # Segments counted from left to right, padding among them.
    lowest, highest = _extremes(run_starts(segments.segment_ids).cumsum(dim=1))
    block = torch.arange(lowest.shape[1], device=lowest.device)
    touched = (lowest[:, :, None] <= highest[:, None]) & (block[:, None] >= block)
    one_BU, same_BU = _extremes(groups.seen_as)
    uniform_BU = one_BU == same_BU
    reached = [_extremes(of_query) for of_query in (groups.own, groups.prefix)]
    all_see = [
        (low[:, :, None] == one_BU[:, None]) & (high[:, :, None] == one_BU[:, None])
        for low, high in reached
    ]
    whole = (all_see[0] | all_see[1]) & uniform_BU[:, None] & (block[:, None] > block)
    return touched, whole


def _extremes(ids: Tensor) -> tuple[Tensor, Tensor]:
    """Smallest and largest id of each block, (B, U) each; the last block may be a shorter one."""
    length = ids.shape[1]
    full = ids[:, -1:].expand(-1, -length % _BLOCK)
    blocks = torch.cat([ids, full], dim=1).reshape(len(ids), -1, _BLOCK)
    return blocks.amin(2), blocks.amax(2)


def _listed(chosen: Tensor) -> tuple[Tensor, Tensor]:
    """Number of chosen columns of every row, and all columns with these first; one head for all."""
    order = chosen.int().argsort(dim=2, descending=True, stable=True)
    return chosen.sum(2, dtype=torch.int32)[:, None], order.int()[:, None]
