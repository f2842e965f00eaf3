"""The decoder without its head: masks of packed rows, and the samplers where images are fused."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from .attention_blocks import ATTENTION_BLOCKS, BLOCKED, plan_blocks
from .attention_masks import decoder_mask
from .inputs import FusedInputs
from .samplers import SAMPLER_INPUTS, check_all_ran


def decode(
    language_model: Any,
    fused: FusedInputs,
    sampler_layers: Mapping[int, int],
    *,
    position_ids: Tensor | None = None,
    **kwargs: Any,
) -> Any:
    """Runs the decoder.

    Args:
        language_model: A causal language model of transformers, samplers attached.
        fused: What it reads.
        sampler_layers: Decoder layer -> sampler that runs after it; all must have run where there
            are images.
        position_ids: (B, L') int64; ``None`` counts.
        **kwargs: Handed to the decoder.

    Returns:
        Its output: hidden states (B, L', H) and cache.
    """
    mask: Any = fused.attention_mask
    if fused.segments is not None:
        position_ids = fused.segments.position_ids() if position_ids is None else position_ids
        config, dtype = language_model.config, fused.inputs_embeds.dtype
        blocked = config._attn_implementation == BLOCKED
        blocks = plan_blocks(fused.segments) if blocked else None
        mask = decoder_mask(fused.segments, position_ids, config, dtype, blocks)
        if blocks is not None:
            kwargs[ATTENTION_BLOCKS] = blocks
    if fused.sampler_inputs is not None:
        kwargs[SAMPLER_INPUTS] = fused.sampler_inputs
    output = language_model.model(
        inputs_embeds=fused.inputs_embeds,
        attention_mask=mask,
        position_ids=position_ids,
        **kwargs,
    )
    if fused.sampler_inputs is not None:
        check_all_ran(fused.sampler_inputs, sampler_layers)
    return output
