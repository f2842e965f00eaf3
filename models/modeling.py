"""PMC-Cambrian: vision towers, SVA connector and a language model with SVA layers inside.

Legend: B rows, L input length, L' length after image expansion, N images in the batch, T towers,
a_t grid side of tower t, C_t its channels, V vision width, S image side, H language width.

Source: cambrian.md sections 4 to 10 (cambrian-mllm/cambrian@539ffc3). Deviations: any number of
images at any position; vision features reach the language model in every prefill, in `forward` and
in `generate` alike (the official `forward` skips the samplers unless a `generate` went before).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Unpack

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, PreTrainedModel

from .configuration import PMCCambrianConfig
from .connector import Connector, projector
from .decoding import decode
from .fusing import FuseOptions, encode_images, fuse_inputs
from .fusion import ImageLayout, PaddingSide
from .generation import FusedGenerationMixin
from .initial_values import set_initial_values, set_initial_vector
from .inputs import FusedInputs
from .loading import load_model
from .losses import LossKind
from .outputs import PMCCambrianOutput, output_of
from .samplers import SamplerInputs, attach_samplers
from .sva import SamplerLayer
from .towers import VisionTower
from .windows import Windows


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
        """A random model of a preset, ``tiny`` or ``8b``; on ``meta`` without values."""
        from .presets import preset

        with torch.device(device or "cpu"):
            return cls(preset(name))

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls, folder: str | Path, *args: Any, **kwargs: Any
    ) -> Any:
        """Loads a model folder as transformers does, but strictly: see `models.loading`."""
        return load_model(super().from_pretrained, cls.config_class, folder, args, kwargs)

    def _init_weights(self, module: nn.Module) -> None:
        """Initial values of `models.initial_values`.

        The decoder initialises itself; towers come initialised from timm and are marked so.
        """
        if module is self:
            set_initial_vector(self.query)
            set_initial_vector(self.newline)
        else:
            set_initial_values(module)

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
        """Image grid for the sequence and windows for the samplers: see `models.fusing`."""
        return encode_images(self, tower_features, sizes_wh)

    def fuse(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        pixel_values: Sequence[Tensor] | None = None,
        image_sizes_wh: Tensor | None = None,
        labels: Tensor | None = None,
        **options: Unpack[FuseOptions],
    ) -> FusedInputs:
        """Replaces image placeholders by image tokens; `forward` and `generate` both start here.

        Arguments and errors are those of `models.fusing.fuse_inputs`.
        """
        return fuse_inputs(
            self, input_ids, attention_mask, pixel_values, image_sizes_wh, labels, **options
        )

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
        output = decode(
            self.language_model,
            fused,
            self.config.sampler_layers,
            position_ids=position_ids,
            **cache,
            **kwargs,
        )
        return output_of(
            output,
            fused.labels,
            self.get_output_embeddings(),
            self.config.ignore_index,
            training=self.training,
            kind=self.loss_kind,
            logits_to_keep=logits_to_keep,
            num_items_in_batch=num_items_in_batch,
        )
