"""Attention in packed rows that computes only what is looked at: ``blocked_sdpa``, for CPUs.

A mask over a whole row makes PyTorch compute all L'² products and throw most of them away. Here a
block is what one run of tokens looks at: a prefix at itself, a branch at the prefix and itself.
Queries and keys of all blocks are gathered, padded to the longest block, attended in one call of
scaled dot product attention and put back. Rows that are not packed go through plain ``sdpa``.

On GPUs FlexAttention skips what is masked by itself.

Legend: B rows, L' length, N blocks, Q and K queries and keys of the longest block, A heads, D head
size.
"""

from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from .segments import PADDING, PREFIX, MaskMod, Segments

BLOCKED = "blocked_sdpa"
"""Name of the attention, for `set_attn_implementation`."""

ATTENTION_BLOCKS = "attention_blocks"
"""Keyword argument of the decoder's forward that carries the `Blocks`."""


@dataclass(frozen=True)
class Blocks:
    """Where queries and keys of every block stand in the flattened (B·L') rows.

    Attributes:
        queries: (N, Q) int64; a shorter block repeats its first query.
        keys: (N, K) int64; a shorter block repeats its first key.
        real_keys: (N, K) bool, False on repetitions.
        real_queries: (R,) int64, indices into the flattened (N·Q) queries without repetitions.
        places: (R,) int64, where these stand in the rows.
    """

    queries: Tensor
    keys: Tensor
    real_keys: Tensor
    real_queries: Tensor
    places: Tensor

    def mask(self, sees: MaskMod, row_length: int) -> Tensor:
        """(N, 1, Q, K) bool, True where a query attends to a key.

        Args:
            sees: The rule of `Segments.sight`.
            row_length: L'.
        """
        query, key = self.queries[:, :, None], self.keys[:, None, :]
        row = query // row_length
        seen = sees(row, row, query % row_length, key % row_length)
        return (seen & self.real_keys[:, None, :])[:, None]


def plan_blocks(segments: Segments) -> Blocks:
    """The blocks of packed rows; padding is in none.

    Args:
        segments: How the rows are divided.
    """
    num_rows, length = segments.segment_ids.shape
    queries: list[list[int]] = []
    keys: list[list[int]] = []
    for row in range(num_rows):
        ids = list(
            zip(segments.segment_ids[row].tolist(), segments.branch_ids[row].tolist(), strict=True)
        )
        prefix: list[int] = []
        position = row * length
        for (segment, branch), run in groupby(ids):
            own = list(range(position, position + len(list(run))))
            position += len(own)
            if segment == PADDING:
                continue
            # A segment that has no prefix begins with a branch, and looks at nothing before.
            starts = own[0] % length == 0 or ids[own[0] % length - 1][0] != segment
            seen = [] if starts else prefix
            prefix = own if branch == PREFIX else seen
            queries.append(own)
            keys.append([*seen, *own] if branch != PREFIX else own)
    device = segments.segment_ids.device
    queries_NQ, real_NQ = _padded(queries, device)
    keys_NK, real_NK = _padded(keys, device)
    real_queries = real_NQ.flatten().nonzero()[:, 0]
    return Blocks(queries_NQ, keys_NK, real_NK, real_queries, queries_NQ.flatten()[real_queries])


def _padded(rows: list[list[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    longest = max(map(len, rows))
    filled = [row + row[:1] * (longest - len(row)) for row in rows]
    real = [[i < len(row) for i in range(longest)] for row in rows]
    return torch.tensor(filled, device=device), torch.tensor(real, device=device)


def blocked_sdpa(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    attention_blocks: Blocks | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attention as transformers' decoders call it.

    Args:
        module: The decoder's attention.
        query: (B, A, L', D).
        key: (B, A or fewer, L', D).
        value: As ``key``.
        attention_mask: That of the blocks, or of plain rows.
        attention_blocks: Blocks of packed rows; ``None`` for plain rows.
        **kwargs: Handed to ``sdpa``.

    Returns:
        (B, L', A, D), zero on padding, and no weights.
    """
    if attention_blocks is None:
        plain: tuple[Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, **kwargs
        )
        return plain
    blocks = attention_blocks
    attended, _ = sdpa_attention_forward(
        module,
        _gather(query, blocks.queries),
        _gather(key, blocks.keys),
        _gather(value, blocks.keys),
        attention_mask,
        **kwargs,
    )
    num_rows, num_heads, length, size = query.shape
    rows = attended.new_zeros(num_rows * length, num_heads, size)
    real = attended.flatten(0, 1).index_select(0, blocks.real_queries)
    return rows.index_copy(0, blocks.places, real).view(num_rows, length, num_heads, size), None


def _gather(states: Tensor, index: Tensor) -> Tensor:
    """(B, A, L', D) states at an index (N, Q), as (N, A, Q, D)."""
    flat = states.transpose(1, 2).flatten(0, 1)
    picked = flat.index_select(0, index.flatten())
    return picked.view(*index.shape, *flat.shape[1:]).transpose(1, 2)


AttentionInterface.register(BLOCKED, blocked_sdpa)
AttentionMaskInterface.register(BLOCKED, sdpa_mask)
