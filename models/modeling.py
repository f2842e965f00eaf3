"""PMC-Cambrian: vision towers, SVA connector and a language model with SVA layers inside.

Legend: B rows, L input length, L' length after image expansion, N images in the batch, T towers,
a_t grid side of tower t, C_t its channels, V vision width, S image side, H language width.

Source: cambrian.md sections 4 to 10 (cambrian-mllm/cambrian@539ffc3). Deviations: any number of
images at any position; vision features reach the language model in every prefill, in `forward` and
in `generate` alike (the official `forward` skips the samplers unless a `generate` went before).
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, PreTrainedModel

from .attention_blocks import ATTENTION_BLOCKS, BLOCKED, plan_blocks
from .attention_masks import decoder_mask
from .configuration import PMCCambrianConfig
from .connector import Connector, projector
from .fusion import ImageLayout, PaddingSide, plan_layout
from .generation import FusedGenerationMixin
from .inputs import FusedInputs, check_one_per_tower, embed_text
from .loading import load_strictly
from .losses import LossKind
from .outputs import PMCCambrianOutput, score
from .samplers import SAMPLER_INPUTS, SamplerInputs, attach_samplers, check_all_ran
from .segments import expand_segments
from .sva import SamplerLayer
from .towers import VisionTower
from .windows import Windows, make_windows


class PMCCambrian(PreTrainedModel, FusedGenerationMixin):  # type: ignore[no-untyped-call]
    """The model; the first component of a parameter's name is its part (`models.parts`).

    Args:
        config: Sizes and towers. Towers start with random weights and are frozen.
    """

    config_class = PMCCambrianConfig
    main_input_name = "input_ids"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    language_model: Any

    loss_kind: LossKind = "plain"
    """``chunked`` never holds the logits of more than 1,024 positions; set it before a call."""

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
        self.language_model = AutoModelForCausalLM.from_config(  # type: ignore[no-untyped-call]
            config.text_config
        )
        attach_samplers(self.language_model.model.layers, self.samplers, config.sampler_layers)
        self.post_init()  # type: ignore[no-untyped-call]

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
    def from_pretrained(  # type: ignore[override]
        cls, folder: str | Path, *args: Any, **kwargs: Any
    ) -> Any:
        """Loads a model folder; like ``PreTrainedModel.from_pretrained``, but strict.

        Args:
            folder: As `save_pretrained` wrote it.
            *args: See ``PreTrainedModel.from_pretrained``.
            **kwargs: See ``PreTrainedModel.from_pretrained``.

        Raises:
            InputError: No such folder, files damaged, or they lack weights, hold others (none is
                ever made up), or hold NaN or infinity.
        """
        wants_info = kwargs.pop("output_loading_info", False)
        kwargs["output_loading_info"] = True
        if "config" not in kwargs:  # the automatic classes bring it, also from a hub
            kwargs["config"] = PMCCambrianConfig.from_folder(folder)
        load: Any = partial(super().from_pretrained, folder, *args, **kwargs)
        loaded = load_strictly(load, folder)
        model: Any = loaded[0]
        # Loading replaces parameters by new ones that require gradients.
        model.towers.requires_grad_(False)
        return loaded if wants_info else model

    def _init_weights(self, module: nn.Module) -> None:
        """Initial values of projectors, connector, samplers, query and newline.

        The decoder initialises itself; towers come initialised from timm and are marked so.

        Source: cambrian.md section 7 for query and newline. Deviation: linear maps start from
        N(0, 1/inputs) without bias instead of PyTorch's default, whose gain of 1/3 in variance,
        six maps deep, leaves next to nothing of what differs between two images: `tiny` trained
        from scratch then sits at chance for 250 steps and more.
        """
        if module is self:
            nn.init.normal_(self.query, std=self.config.vision_hidden_size**-0.5)
            nn.init.normal_(self.newline, std=self.config.text_config.hidden_size**-0.5)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=module.in_features**-0.5)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif callable(reset := getattr(module, "reset_parameters", None)):
            reset()

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
        padding_side: PaddingSide = "right",
        image_layout: ImageLayout = "unpadded",
        row_length: int | None = None,
        segment_ids: Tensor | None = None,
        branch_ids: Tensor | None = None,
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
            image_layout: ``unpadded``, or ``fixed`` for S·(S+1) tokens an image.
            row_length: L'; ``None`` for the longest row's.
            segment_ids: (B, L) int64 of packed rows; ``None`` where every row is one sample.
            branch_ids: (B, L) int64; goes with ``segment_ids``.

        Raises:
            ValueError: Placeholders and images differ in number, an id is neither a placeholder
                nor in the vocabulary, or a row is longer than ``row_length``.
        """
        sizes = [] if image_sizes_wh is None else [(w, h) for w, h in image_sizes_wh.tolist()]
        layout = plan_layout(
            input_ids,
            attention_mask,
            sizes,
            image_side=self.config.image_side,
            image_token_id=self.config.image_token_id,
            padding_side=padding_side,
            image_layout=image_layout,
            row_length=row_length,
        )
        table: Any = self.get_input_embeddings()
        text = embed_text(table, input_ids, attention_mask, self.config.image_token_id)
        sampler_inputs = None
        if sizes:
            features = self._tower_features(pixel_values, tower_features, len(sizes))
            cells, windows = self.encode_images(features, sizes)
            if windows is not None:
                sampler_inputs = SamplerInputs(windows.select(layout.cells), layout.positions)
        else:
            cells = text.new_zeros(0, self.config.image_token_len, text.shape[-1])
        ignore_index = self.config.ignore_index
        return FusedInputs(
            inputs_embeds=layout.embed(text, cells, self.newline),
            attention_mask=layout.attention_mask,
            labels=None if labels is None else layout.expand_labels(labels, ignore_index),
            sampler_inputs=sampler_inputs,
            segments=expand_segments(layout, image_layout, segment_ids, branch_ids),
        )

    def _tower_features(
        self,
        pixel_values: Sequence[Tensor] | None,
        tower_features: Sequence[Tensor] | None,
        num_images: int,
    ) -> list[Tensor]:
        given = check_one_per_tower(
            pixel_values if tower_features is None else tower_features,
            num_towers=len(self.towers),
            num_images=num_images,
        )
        if tower_features is not None:
            return list(given)
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
        padding_side: PaddingSide = "right",
        image_layout: ImageLayout = "unpadded",
        row_length: int | None = None,
        segment_ids: Tensor | None = None,
        branch_ids: Tensor | None = None,
        num_items_in_batch: Tensor | int | None = None,
        inputs_embeds: Tensor | None = None,
        sampler_inputs: SamplerInputs | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Any = None,
        use_cache: bool | None = None,
        logits_to_keep: int = 0,
        **kwargs: Any,
    ) -> PMCCambrianOutput:
        """Logits, and the cross-entropy of every token against the next label.

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
            padding_side: Where shorter rows are padded once images are expanded.
            image_layout: As in `fuse`.
            row_length: As in `fuse`.
            segment_ids: As in `fuse`.
            branch_ids: As in `fuse`.
            num_items_in_batch: Trained tokens that the loss is the mean over, where that is more
                than this batch (all ranks and accumulation steps); ``None`` for this batch's.
            inputs_embeds: (B, L', H), already fused.
            sampler_inputs: Goes with ``inputs_embeds``.
            position_ids: (B, L') int64; ``None`` counts from 0, padding included (rotary positions
                are relative, so padding on the left shifts a row without changing it), and counts
                what is attended in packed rows and in the fixed image layout.
            past_key_values: Cache.
            use_cache: Whether to return a cache; ``None`` for yes, except while training.
            logits_to_keep: Only the last that many logits; 0 keeps all.
            **kwargs: Handed to the decoder.

        Returns:
            Loss, its sum and count (with labels), and float32 logits (B, L', vocabulary). With
            labels, while training or with the chunked loss, only trained positions pass the head,
            and ``logits`` is ``None``: at a vocabulary of 128k the others would cost more memory
            than the decoder.
        """
        if inputs_embeds is not None:
            fused = FusedInputs(inputs_embeds, attention_mask, labels, sampler_inputs)
        elif input_ids is None:
            raise ValueError("neither input_ids nor inputs_embeds given; expected one of them")
        elif past_key_values is not None and past_key_values.get_seq_length() > 0:
            if pixel_values or tower_features:
                raise ValueError("images after a filled cache; pass them with the prompt")
            fused = FusedInputs(self.get_input_embeddings()(input_ids), attention_mask, labels)
        else:
            fused = self.fuse(
                input_ids,
                attention_mask,
                pixel_values,
                image_sizes_wh,
                labels,
                tower_features=tower_features,
                padding_side=padding_side,
                image_layout=image_layout,
                row_length=row_length,
                segment_ids=segment_ids,
                branch_ids=branch_ids,
            )
        if use_cache is None and self.training:
            use_cache = False
        cache = {"past_key_values": past_key_values, "use_cache": use_cache}
        output = self._decode(fused, position_ids=position_ids, **cache, **kwargs)
        if fused.labels is None:
            logits = self.get_output_embeddings()(output.last_hidden_state[:, -logits_to_keep:])
            return PMCCambrianOutput(logits=logits.float(), past_key_values=output.past_key_values)
        return score(
            output,
            fused.labels,
            self.get_output_embeddings(),
            self.config.ignore_index,
            training=self.training,
            kind=self.loss_kind,
            logits_to_keep=logits_to_keep,
            num_items_in_batch=num_items_in_batch,
        )

    def _decode(
        self, fused: FusedInputs, *, position_ids: Tensor | None = None, **kwargs: Any
    ) -> Any:
        """Runs the decoder without its head; the samplers run where images are fused."""
        mask: Any = fused.attention_mask
        if fused.segments is not None:
            position_ids = fused.segments.position_ids() if position_ids is None else position_ids
            config, dtype = self.language_model.config, fused.inputs_embeds.dtype
            blocked = config._attn_implementation == BLOCKED
            blocks = plan_blocks(fused.segments) if blocked else None
            mask = decoder_mask(fused.segments, position_ids, config, dtype, blocks)
            if blocks is not None:
                kwargs[ATTENTION_BLOCKS] = blocks
        if fused.sampler_inputs is not None:
            kwargs[SAMPLER_INPUTS] = fused.sampler_inputs
        output = self.language_model.model(
            inputs_embeds=fused.inputs_embeds,
            attention_mask=mask,
            position_ids=position_ids,
            **kwargs,
        )
        if fused.sampler_inputs is not None:
            check_all_ran(fused.sampler_inputs, self.config.sampler_layers)
        return output
