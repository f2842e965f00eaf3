"""PMC-Cambrian: vision towers, SVA connector and a language model with SVA layers inside.

Legend: B rows, L input length, L' length after image expansion, N images in the batch, T towers,
a_t grid side of tower t, C_t its channels, V vision width, S image side, H language width.

Source: cambrian.md sections 4 to 10 (cambrian-mllm/cambrian@539ffc3). Deviations: any number of
images at any position; vision features reach the language model in every prefill, in `forward` and
in `generate` alike (the official `forward` skips the samplers unless a `generate` went before).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoModelForCausalLM, GenerationMixin, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutputWithPast

from .configuration import PMCCambrianConfig
from .connector import Connector, SamplerLayer, Windows, make_windows, projector
from .fusion import plan_layout
from .samplers import SAMPLER_INPUTS, SamplerInputs, attach_samplers, check_all_ran
from .towers import VisionTower


@dataclass(frozen=True)
class FusedInputs:
    """A batch as the language model reads it.

    Attributes:
        inputs_embeds: (B, L', H), zero on padding.
        attention_mask: (B, L') bool.
        labels: (B, L') int64, or ``None`` where none were given.
        sampler_inputs: What the samplers read; ``None`` where the batch holds no image.
    """

    inputs_embeds: Tensor
    attention_mask: Tensor
    labels: Tensor | None
    sampler_inputs: SamplerInputs | None


class PMCCambrian(PreTrainedModel, GenerationMixin):
    """The model; the first component of a parameter's name is its part (`models.parts`).

    Args:
        config: Sizes and towers. Towers start with random weights and are frozen.
    """

    config_class = PMCCambrianConfig
    main_input_name = "input_ids"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_attention_backend = True

    def __init__(self, config: PMCCambrianConfig) -> None:
        super().__init__(config)
        width, dim = config.text_config.hidden_size, config.vision_hidden_size
        specs = config.tower_specs
        grids = [spec.grid_side for spec in specs]
        self.towers = nn.ModuleList(VisionTower(spec) for spec in specs)
        self.projectors = nn.ModuleList(projector(spec.dim, dim) for spec in specs)
        self.query = nn.Parameter(torch.empty(len(config.query_sides), dim))
        self.connector = Connector(
            dim,
            config.query_sides,
            grids,
            depth=config.connector_depth,
            image_side=config.image_side,
        )
        self.mm_projector = nn.Sequential(
            nn.Linear(len(config.query_sides) * dim, width), nn.GELU(), nn.Linear(width, width)
        )
        self.newline = nn.Parameter(torch.empty(width))
        windows = [grid // config.image_side for grid in grids]
        num_samplers = 0 if config.connector_only else config.num_samplers
        self.samplers = nn.ModuleList(
            SamplerLayer(width, dim, windows) for _ in range(num_samplers)
        )
        self.language_model = AutoModelForCausalLM.from_config(config.text_config)
        attach_samplers(self.language_model.model.layers, self.samplers, config.sampler_layers)
        self.post_init()

    @classmethod
    def from_preset(cls, name: str, device: str | torch.device | None = None) -> "PMCCambrian":
        """A randomly initialised model of a preset.

        Args:
            name: ``tiny`` or ``8b``.
            device: Where the weights are made; ``meta`` makes none.
        """
        from .presets import preset

        with torch.device(device or "cpu"):
            return cls(preset(name))

    @classmethod
    def from_pretrained(cls, *args: Any, **kwargs: Any) -> Any:
        """Loads a saved model; like ``PreTrainedModel.from_pretrained``, but strict.

        Raises:
            ValueError: The files lack weights or hold others: none is ever made up.
        """
        wants_info = kwargs.pop("output_loading_info", False)
        model, info = super().from_pretrained(*args, output_loading_info=True, **kwargs)
        wrong = {
            kind: sorted(map(str, info[kind]))
            for kind in ("missing_keys", "unexpected_keys", "mismatched_keys")
            if info[kind]
        }
        if wrong:
            raise ValueError(f"the weights do not fit the configuration: {wrong}")
        return (model, info) if wants_info else model

    def _init_weights(self, module: nn.Module) -> None:
        """Initial values of the connector: PyTorch's defaults and the official query and newline.

        The decoder initialises itself; towers come initialised from timm and are marked so.
        """
        if module is self:
            nn.init.normal_(self.query, std=self.config.vision_hidden_size**-0.5)
            nn.init.normal_(self.newline, std=self.config.text_config.hidden_size**-0.5)
        elif hasattr(module, "reset_parameters"):
            module.reset_parameters()

    def get_input_embeddings(self) -> nn.Module:
        """Token embeddings of the language model."""
        embeddings: nn.Module = self.language_model.get_input_embeddings()
        return embeddings

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replaces the token embeddings of the language model."""
        self.language_model.set_input_embeddings(value)

    def get_output_embeddings(self) -> nn.Module:
        """Head of the language model."""
        head: nn.Module = self.language_model.get_output_embeddings()
        return head

    def encode_images(
        self, tower_features: Sequence[Tensor], sizes_wh: Sequence[tuple[int, int]]
    ) -> tuple[Tensor, Windows | None]:
        """Image grid for the sequence and windows for the samplers.

        Args:
            tower_features: T tensors (N, a_t², C_t).
            sizes_wh: Original width and height of the N images in pixels.

        Returns:
            (N, S², H) cells, and the windows of all N·S² cells (``None`` without samplers).
        """
        projected = [
            project(features.to(self.query.dtype))
            for project, features in zip(self.projectors, tower_features, strict=True)
        ]
        sides = set(self.config.query_sides)
        if len(self.samplers):
            sides.add(self.config.image_side)
        windows = {side: make_windows(projected, sizes_wh, side) for side in sides}
        cells = self.connector(self.query, [windows[side] for side in self.config.query_sides])
        inner = windows[self.config.image_side] if len(self.samplers) else None
        return self.mm_projector(cells), inner

    def fuse(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        pixel_values: Sequence[Tensor] | None = None,
        image_sizes_wh: Tensor | None = None,
        labels: Tensor | None = None,
        *,
        tower_features: Sequence[Tensor] | None = None,
        padding_side: Literal["left", "right"] = "right",
    ) -> FusedInputs:
        """Replaces image placeholders by image tokens; `forward` and `generate` both start here.

        Args:
            input_ids: (B, L) int64.
            attention_mask: (B, L); ``None`` where every token counts.
            pixel_values: T tensors (N, 3, R_t, R_t); empty or ``None`` without images.
            image_sizes_wh: (N, 2) original width and height in pixels.
            labels: (B, L) int64.
            tower_features: T tensors (N, a_t², C_t) in place of ``pixel_values``.
            padding_side: Where shorter rows are padded.

        Raises:
            ValueError: Placeholders and images differ in number.
        """
        sizes = [] if image_sizes_wh is None else [(w, h) for w, h in image_sizes_wh.tolist()]
        layout = plan_layout(
            input_ids,
            attention_mask,
            sizes,
            image_side=self.config.image_side,
            image_token_id=self.config.image_token_id,
            padding_side=padding_side,
        )
        text = self.get_input_embeddings()(input_ids.clamp(min=0))
        sampler_inputs = None
        if sizes:
            features = self._tower_features(pixel_values, tower_features, len(sizes))
            cells, windows = self.encode_images(features, sizes)
            if windows is not None:
                sampler_inputs = SamplerInputs(windows.select(layout.cells), layout.positions)
        else:
            cells = text.new_zeros(0, self.config.image_token_len, text.shape[-1])
        return FusedInputs(
            inputs_embeds=layout.embed(text, cells, self.newline),
            attention_mask=layout.attention_mask,
            labels=None
            if labels is None
            else layout.expand_labels(labels, self.config.ignore_index),
            sampler_inputs=sampler_inputs,
        )

    def _tower_features(
        self,
        pixel_values: Sequence[Tensor] | None,
        tower_features: Sequence[Tensor] | None,
        num_images: int,
    ) -> list[Tensor]:
        given = pixel_values if tower_features is None else tower_features
        if given is None or len(given) != len(self.towers):
            raise ValueError(
                f"{0 if given is None else len(given)} tensors of pixels or features for "
                f"{len(self.towers)} towers; expected one per tower"
            )
        if any(len(tensor) != num_images for tensor in given):
            raise ValueError(
                f"towers were given {[len(tensor) for tensor in given]} images; image_sizes_wh "
                f"has {num_images}"
            )
        if tower_features is not None:
            return list(tower_features)
        return [tower(pixels) for tower, pixels in zip(self.towers, given, strict=True)]

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        pixel_values: Sequence[Tensor] | None = None,
        image_sizes_wh: Tensor | None = None,
        labels: Tensor | None = None,
        *,
        tower_features: Sequence[Tensor] | None = None,
        inputs_embeds: Tensor | None = None,
        sampler_inputs: SamplerInputs | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Any = None,
        use_cache: bool | None = None,
        logits_to_keep: int = 0,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        """Logits, and the mean cross-entropy of every token against the next label.

        Three ways in: a prompt (``input_ids`` with placeholders, fused here), a fused prompt
        (``inputs_embeds`` and ``sampler_inputs`` of `fuse`), or a decode step (``input_ids`` after
        a filled cache).

        Args:
            input_ids: (B, L) int64.
            attention_mask: (B, L), or (B, past + L) in a decode step.
            pixel_values: T tensors (N, 3, R_t, R_t).
            image_sizes_wh: (N, 2) original width and height in pixels.
            labels: (B, L) int64; goes with ``input_ids``.
            tower_features: T tensors (N, a_t², C_t) in place of ``pixel_values``.
            inputs_embeds: (B, L', H), already fused.
            sampler_inputs: Goes with ``inputs_embeds``.
            position_ids: (B, L') int64; ``None`` counts from 0 (right padding).
            past_key_values: Cache.
            use_cache: Whether to return a cache.
            logits_to_keep: Only the last that many logits; 0 keeps all.
            **kwargs: Handed to the decoder.

        Returns:
            Loss (with labels) and float32 logits (B, L', vocabulary). While training with labels
            only trained positions pass the head, and ``logits`` is ``None``: at a vocabulary of
            128k the others would cost more memory than the decoder.
        """
        if inputs_embeds is None and past_key_values is not None and _cached(past_key_values):
            if pixel_values or tower_features:
                raise ValueError("images after a filled cache; pass them with the prompt")
            inputs_embeds = self.get_input_embeddings()(input_ids)
        elif inputs_embeds is None:
            if input_ids is None:
                raise ValueError("neither input_ids nor inputs_embeds given; expected one of them")
            fused = self.fuse(
                input_ids,
                attention_mask,
                pixel_values,
                image_sizes_wh,
                labels,
                tower_features=tower_features,
            )
            inputs_embeds, attention_mask = fused.inputs_embeds, fused.attention_mask
            labels, sampler_inputs = fused.labels, fused.sampler_inputs
        output = self._decode(
            inputs_embeds,
            sampler_inputs,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            use_cache=use_cache,
            **kwargs,
        )
        hidden, head = output.last_hidden_state, self.get_output_embeddings()
        if labels is not None and self.training:
            loss = _trained_loss(hidden, labels, head, self.config.ignore_index)
            return CausalLMOutputWithPast(loss=loss, past_key_values=output.past_key_values)
        logits = head(hidden[:, -logits_to_keep:]).float()
        loss = None if labels is None else _loss(logits, labels, self.config.ignore_index)
        return CausalLMOutputWithPast(
            loss=loss, logits=logits, past_key_values=output.past_key_values
        )

    def _decode(
        self, inputs_embeds: Tensor, sampler_inputs: SamplerInputs | None, **kwargs: Any
    ) -> Any:
        if sampler_inputs is None:
            return self.language_model.model(inputs_embeds=inputs_embeds, **kwargs)
        output = self.language_model.model(
            inputs_embeds=inputs_embeds, **kwargs, **{SAMPLER_INPUTS: sampler_inputs}
        )
        check_all_ran(sampler_inputs, self.config.sampler_layers)
        return output

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
        """New tokens after each prompt; prompts of unequal length are padded on the left.

        Args:
            input_ids: (B, L) int64, padded on either side.
            attention_mask: (B, L).
            pixel_values: T tensors (N, 3, R_t, R_t).
            image_sizes_wh: (N, 2) original width and height in pixels.
            tower_features: T tensors (N, a_t², C_t) in place of ``pixel_values``.
            **kwargs: Generation settings of transformers, e.g. ``max_new_tokens``.

        Returns:
            (B, new tokens) int64, padded after the stop token.

        Raises:
            ValueError: Beams, several sequences per prompt, or no cache were asked for.
        """
        for name, only in (("num_beams", 1), ("num_return_sequences", 1), ("use_cache", True)):
            if kwargs.get(name, only) != only:
                raise ValueError(f"{name}={kwargs[name]!r}; generation supports {only!r} only")
        fused = self.fuse(
            input_ids,
            attention_mask,
            pixel_values,
            image_sizes_wh,
            tower_features=tower_features,
            padding_side="left",
        )
        return super().generate(
            inputs_embeds=fused.inputs_embeds,
            attention_mask=fused.attention_mask.long(),
            sampler_inputs=fused.sampler_inputs,
            **kwargs,
        )

    def prepare_inputs_for_generation(
        self,
        input_ids: Tensor,
        *,
        inputs_embeds: Tensor | None = None,
        sampler_inputs: SamplerInputs | None = None,
        is_first_iteration: bool = False,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Inputs of one step; the samplers' inputs go with the prefill only."""
        inputs: dict[str, Any] = super().prepare_inputs_for_generation(
            input_ids, inputs_embeds=inputs_embeds, is_first_iteration=is_first_iteration, **kwargs
        )
        return {**inputs, "sampler_inputs": sampler_inputs if is_first_iteration else None}


def _cached(past_key_values: Any) -> bool:
    return bool(past_key_values.get_seq_length() > 0)


def _loss(logits: Tensor, labels: Tensor, ignore_index: int) -> Tensor:
    return F.cross_entropy(
        logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=ignore_index
    )


def _trained_loss(hidden: Tensor, labels: Tensor, head: nn.Module, ignore_index: int) -> Tensor:
    """The same loss, computed from the trained positions alone."""
    trained = labels[:, 1:] != ignore_index
    logits = head(hidden[:, :-1][trained]).float()
    return F.cross_entropy(logits, labels[:, 1:][trained])
