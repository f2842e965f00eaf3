"""Generation from prompts with images: fuse once, then decode with transformers' own loop.

Legend: B prompts, L input length, N images, T towers; R_t input side, a_t grid side and C_t
channels of tower t.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationMixin

from .samplers import SamplerInputs

_ONLY = {"num_beams": 1, "num_return_sequences": 1, "use_cache": True}
"""Settings that are refused when they are anything else: the samplers' inputs belong to the rows of
the prefill, which beams would reorder and repeat."""


class FusedGenerationMixin(GenerationMixin):
    """The generating side of `PMCCambrian`: left padding inside, new tokens out."""

    @torch.no_grad()
    def generate(  # type: ignore[override]
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        pixel_values: Sequence[Tensor] | None = None,
        image_sizes_wh: Tensor | None = None,
        *,
        tower_features: Sequence[Tensor] | None = None,
        **kwargs: Any,
    ) -> Any:
        """New tokens after each prompt; prompts of unequal length are padded on the left inside.

        Args:
            input_ids: (B, L) int64, padded on either side.
            attention_mask: (B, L); ``None`` where every token counts.
            pixel_values: T tensors (N, 3, R_t, R_t).
            image_sizes_wh: (N, 2) original width and height in pixels.
            tower_features: T tensors (N, a_t², C_t) in place of ``pixel_values``.
            **kwargs: Generation settings of transformers, e.g. ``max_new_tokens``.

        Returns:
            (B, new tokens) int64, padded after the stop token.

        Raises:
            ValueError: Beams, several sequences per prompt, or no cache were asked for.
        """
        for name, only in _ONLY.items():
            if kwargs.get(name, only) != only:
                raise ValueError(f"{name} is {kwargs[name]!r}; generation supports {only!r} only")
        fused = self.fuse(  # type: ignore[attr-defined]
            input_ids,
            attention_mask,
            pixel_values,
            image_sizes_wh,
            tower_features=tower_features,
            padding_side="left",
        )
        return super().generate(  # type: ignore[misc]
            inputs_embeds=fused.inputs_embeds,
            attention_mask=fused.attention_mask.long(),
            sampler_inputs=fused.sampler_inputs,
            **kwargs,
        )

    def prepare_inputs_for_generation(  # type: ignore[override]
        self,
        input_ids: Tensor,
        *,
        inputs_embeds: Tensor | None = None,
        sampler_inputs: SamplerInputs | None = None,
        is_first_iteration: bool = False,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Inputs of one step; the samplers' inputs go with the prefill only."""
        inputs: dict[str, Any] = super().prepare_inputs_for_generation(  # type: ignore[misc]
            input_ids,  # type: ignore[arg-type]
            inputs_embeds=inputs_embeds,
            is_first_iteration=is_first_iteration,
            **kwargs,
        )
        return {**inputs, "sampler_inputs": sampler_inputs if is_first_iteration else None}
