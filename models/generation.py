"""Generation from prompts with images: fuse once, then decode with transformers' own loop.

With a cache (the default) the prompt is read once and every further step reads one token. Without
it (``use_cache=False``) every step reads prompt and answer anew, samplers included: slower by far,
and the reference that the cached loop is measured against. Greedy answers are the same either way,
and the same whether a prompt is asked alone or in a batch, but for logits that tie within rounding.

Legend: B prompts, L input length, L' length of the fused prompts, N images, T towers; R_t input
side, a_t grid side and C_t channels of tower t.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationMixin

from .samplers import SamplerInputs

_ONLY: dict[str, Any] = {
    "num_beams": 1,
    "num_return_sequences": 1,
    "prompt_lookup_num_tokens": None,
    "prefill_chunk_size": None,
    "assistant_model": None,
    "past_key_values": None,
}
"""Settings that are refused when they are anything else: the samplers' inputs belong to the rows
and positions of one whole prefill, which beams reorder, repeats multiply, and chunks, drafts and a
cache that is filled already cut."""


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
        use_cache: bool = True,
        **kwargs: Any,
    ) -> Any:
        """New tokens after each prompt; prompts of unequal length are padded on the left inside.

        Sampling draws from torch's global generator: the same seed before the call gives the same
        tokens. Penalties and stop strings see new tokens only, for the prompt is embeddings.

        Args:
            input_ids: (B, L) int64, padded on either side.
            attention_mask: (B, L); ``None`` where every token counts.
            pixel_values: T tensors (N, 3, R_t, R_t).
            image_sizes_wh: (N, 2) original width and height in pixels.
            tower_features: T tensors (N, a_t², C_t) in place of ``pixel_values``.
            use_cache: Keep keys and values of what was read; otherwise every step reads all anew.
            **kwargs: Generation settings of transformers, e.g. ``max_new_tokens`` (20 without it,
                and a warning), ``do_sample``, ``eos_token_id``, ``stop_strings`` with
                ``tokenizer``, and a ``streamer`` (one prompt at a time).

        Returns:
            (B, new tokens) int64, padded after the stop token; transformers' output object with
            ``return_dict_in_generate``.

        Raises:
            ValueError: Beams, several sequences per prompt, drafts, chunks or a filled cache were
                asked for, or a batch holds no prompt.
        """
        _refuse_unsupported(kwargs, self.generation_config)
        if not len(input_ids):
            raise ValueError("a batch of 0 prompts; expected at least one")
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
            recompute=not use_cache,
            **kwargs,
        )

    def prepare_inputs_for_generation(  # type: ignore[override]
        self,
        input_ids: Tensor,
        *,
        inputs_embeds: Tensor | None = None,
        sampler_inputs: SamplerInputs | None = None,
        is_first_iteration: bool = False,
        recompute: bool = False,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Inputs of one step; the samplers' inputs go with a prompt only.

        ``recompute`` is this model's ``use_cache=False``: transformers turns its own back on for
        prompts of embeddings, since its decoders would forget the prompt after the first step.
        """
        prepare: Any = super().prepare_inputs_for_generation  # type: ignore[misc]
        if not recompute:
            inputs: dict[str, Any] = prepare(
                input_ids,
                inputs_embeds=inputs_embeds,
                is_first_iteration=is_first_iteration,
                **kwargs,
            )
            return {**inputs, "sampler_inputs": sampler_inputs if is_first_iteration else None}
        if inputs_embeds is None:
            raise ValueError("recompute needs a prompt of embeddings, as `generate` passes it")
        prompt_length = inputs_embeds.shape[1]
        answer = self.get_input_embeddings()(input_ids)  # type: ignore[attr-defined]
        kwargs |= {"past_key_values": None, "next_sequence_length": None, "use_cache": False}
        inputs = prepare(
            input_ids,
            inputs_embeds=torch.cat([inputs_embeds, answer], dim=1),
            is_first_iteration=True,
            **kwargs,
        )
        moved = _in_longer_rows(sampler_inputs, prompt_length, answer.shape[1])
        return {**inputs, "sampler_inputs": moved}


def _refuse_unsupported(kwargs: dict[str, Any], default: Any) -> None:
    """Raises for settings given by name, by ``generation_config``, or in the model's own."""
    given = kwargs.get("generation_config") or default
    for name, only in _ONLY.items():
        value = kwargs.get(name, getattr(given, name, None))
        if value is not None and value != only:
            raise ValueError(f"{name} is {value!r}; generation supports {only!r} only")


def _in_longer_rows(
    inputs: SamplerInputs | None, length: int, num_new: int
) -> SamplerInputs | None:
    """Sampler inputs for the same rows, each ``num_new`` tokens longer at its end."""
    if inputs is None:
        return None
    rows = inputs.positions // length
    return replace(inputs, positions=inputs.positions + rows * num_new, ran=set())
