"""Masks of packed rows, and of the fixed image layout, in the form each attention takes.

Legend: B rows, L' length, N blocks, Q and K queries and keys of the longest block.
"""

from typing import Any, Literal

import torch
from torch import Tensor

from .attention_blocks import BLOCKED, Blocks
from .block_masks import flex_block_mask
from .segments import MaskMod, Segments

Attention = Literal["sdpa", "blocked_sdpa", "flex_attention", "eager"]
"""Those that packed rows and the fixed image layout work with."""


def decoder_mask(
    segments: Segments,
    position_ids: Tensor,
    config: Any,
    dtype: torch.dtype,
    blocks: Blocks | None = None,
) -> Any:
    """The ready-made mask that transformers' decoders take as they are.

    Args:
        segments: How the rows are divided.
        position_ids: Those of `Segments.position_ids`.
        config: Configuration of the decoder; its ``_attn_implementation`` decides the form: bool
            for ``sdpa``, additive for ``eager``, a ``BlockMask`` for ``flex_attention``, one mask
            per block for ``blocked_sdpa``.
        dtype: That of the hidden states.
        blocks: Goes with ``blocked_sdpa``.

    Returns:
        (B, 1, L', L') or (N, 1, Q, K); for a decoder whose layers differ one per kind of layer.

    Raises:
        ValueError: The attention cannot use such a mask.
    """
    implementation = config._attn_implementation
    if implementation not in _KNOWN or (implementation == BLOCKED and blocks is None):
        raise ValueError(
            f"attention {implementation!r} takes no mask of packed rows or fixed image layout; "
            f"expected one of {', '.join(_KNOWN)}"
        )

    def make(window: int | None) -> Any:
        if implementation == "flex_attention":
            return flex_block_mask(segments, position_ids, window)
        sees = segments.sight(position_ids, window)
        if blocks is not None:
            return blocks.mask(sees, position_ids.shape[1])
        return _FORMS[implementation](sees, position_ids, dtype)

    window = getattr(config, "sliding_window", None)
    kinds = set(getattr(config, "layer_types", None) or ())
    if "sliding_attention" in kinds:
        return {"full_attention": make(None), "sliding_attention": make(window)}
    return make(None if kinds else window)


def _bool_mask(sees: MaskMod, position_ids: Tensor, _dtype: torch.dtype) -> Tensor:
    num_rows, length = position_ids.shape
    index = torch.arange(length, device=position_ids.device)
    rows = torch.arange(num_rows, device=position_ids.device)[:, None, None]
    return sees(rows, rows, index[:, None], index[None, :])[:, None]


def _additive_mask(sees: MaskMod, position_ids: Tensor, dtype: torch.dtype) -> Tensor:
    mask = _bool_mask(sees, position_ids, dtype)
    return torch.zeros_like(mask, dtype=dtype).masked_fill(~mask, torch.finfo(dtype).min)


_FORMS = {"sdpa": _bool_mask, "eager": _additive_mask}
_KNOWN = (*_FORMS, "flex_attention", BLOCKED)
