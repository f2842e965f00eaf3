"""What the three stages share: settings, building or taking over the model, groups, handing on.

A stage is a table of trained parts (`Stage.parts`) and its default rates; everything else is here,
and what it does with batches in `models.stages.steps`.
"""

from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, cast

import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig

from models.acceleration import ActivationCheckpointing
from models.attention_masks import Attention
from models.fitting import TooLong
from models.fusion import ImageLayout
from models.lora import LoRASettings
from models.losses import LossKind
from models.preprocessing import Preprocessing
from models.presets import preset as preset_config
from models.processing import PMCCambrianProcessor
from models.processor_settings import taken_over
from models.stages.building import ModelPlan, build, build_sharded
from models.stages.handoff import check_taken_over, read_lineage
from models.stages.model_folder import save_folder
from models.stages.optimiser import adamw_with_cosine, parameter_groups, rates_by_part
from models.stages.steps import Steps
from models.template import TemplateStyle
from models.tokenizer import load_tokenizer, tokenizer_hash
from models.tower_weights import TowerWeights, check_tower_sources
from semihvision.core.hashing import hash_path


class Stage(Steps):
    """One training stage of PMC-Cambrian.

    Args:
        preset: Name of the model's sizes, ``tiny`` or ``8b``.
        init_from: Model folder of the stage before; empty starts from the preset with random
            weights. Refused if its towers or tokenizer differ from the preset's, or its last stage
            is neither this one nor the one before.
        tower_weights: Published weights by tower name: a local file or timm's hub name. Needed for
            every tower that has such weights and does not come with ``init_from``.
        train_parts: Parts to train instead of the stage's own (names: `models.parts.PARTS`). For
            models without pre-trained parts, such as ``tiny``.
        learning_rate: Peak rate of the trained parts.
        sampler_learning_rate: Peak rate of connector, query and samplers; None: as the others.
        tower_learning_rate: Peak rate of the towers where they are trained; None: as the others.
        warmup_fraction: Share of the steps over which the rate rises linearly from 0.
        weight_decay: AdamW's decay.
        adam_beta2: AdamW's decay of squared gradients; shorter runs want a smaller one.
        lora: Adapters that are trained in place of the language model's weights; the model folder
            holds them merged.
        loss: ``plain``, or ``chunked``, which never holds the logits of all trained tokens.
        attention: Of the decoder. In packed rows ``flex_attention`` (on GPUs) and ``blocked_sdpa``
            (on CPUs) compute only what is looked at; ``sdpa`` and ``eager`` mask whole rows.
        image_layout: ``unpadded``, or ``fixed`` for as many tokens for every image, as the official
            training has it: shapes that do not change, for ``compile_blocks``.
        activation_checkpointing: ``none``, ``selective`` or ``full`` (`models.acceleration`).
        compile_blocks: Compile every block of towers, connector, samplers and decoder.
        cpu_offload: Keep shards and optimizer state in host memory; sharded runs only.
        system_prompt: System turn of every conversation; empty for none, None for that of
            ``init_from``.
        system_prompt_file: UTF-8 file with that text, in place of ``system_prompt``.
        template: Style of the conversation template, ``cambrian`` or ``meta``; None for that of
            ``init_from``, else ``cambrian``.
        preprocessing: Path of the images, ``reference`` or ``fast`` (`models.preprocessing`); None
            for that of ``init_from``, else ``reference``.
        other_prompt: Train weights of an official checkpoint with another prompt than theirs, which
            is an error otherwise.
        too_long: ``refuse`` a longer sample, or ``shorten`` it by turns and the end of an answer
            (`models.fitting`); questions of `predict` are never shortened.
        max_length: Longest sample in tokens, images expanded.
        max_new_tokens: Longest generated answer in `predict_step`.
    """

    parts: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        *,
        preset: str = "tiny",
        init_from: str = "",
        tower_weights: dict[str, str] | None = None,
        train_parts: list[str] | None = None,
        learning_rate: float = 1e-4,
        sampler_learning_rate: float | None = None,
        tower_learning_rate: float | None = None,
        warmup_fraction: float = 0.03,
        weight_decay: float = 0.0,
        adam_beta2: float = 0.999,
        lora: LoRASettings | None = None,
        loss: LossKind = "plain",
        attention: Attention = "sdpa",
        image_layout: ImageLayout = "unpadded",
        activation_checkpointing: ActivationCheckpointing = "none",
        compile_blocks: bool = False,
        cpu_offload: bool = False,
        system_prompt: str | None = None,
        system_prompt_file: str = "",
        template: TemplateStyle | None = None,
        preprocessing: Preprocessing | None = None,
        other_prompt: bool = False,
        too_long: TooLong = "refuse",
        max_length: int = 2048,
        max_new_tokens: int = 64,
    ) -> None:
        super().__init__()
        self.train_parts = tuple(train_parts) if train_parts is not None else self.parts
        self.preset = preset
        self.init_from = Path(init_from) if init_from else None
        self.part_rates = rates_by_part(
            self.train_parts,
            learning_rate,
            samplers=sampler_learning_rate,
            towers=tower_learning_rate,
        )
        self.warmup_fraction = warmup_fraction
        self.weight_decay = weight_decay
        self.adam_beta2 = adam_beta2
        self.max_new_tokens = max_new_tokens
        wanted = preset_config(preset)
        self.tower_weights = tower_weights or {}
        self.loaded_towers: dict[str, TowerWeights] = {}
        check_tower_sources(
            wanted.tower_specs, self.tower_weights, taken_over=self.init_from is not None
        )
        if self.init_from is not None:
            wanted = check_taken_over(self.init_from, wanted=wanted, stage=type(self).__name__)
        self.processor = PMCCambrianProcessor.from_preset(
            preset,
            tokenizer=None if self.init_from is None else load_tokenizer(str(self.init_from)),
            max_length=max_length,
            too_long=too_long,
            image_layout=image_layout,
            **taken_over(
                self.init_from,
                system_prompt=system_prompt,
                system_prompt_file=system_prompt_file,
                template=template,
                preprocessing=preprocessing,
                other_prompt=other_prompt,
            ),
        )
        self.processor.check_official()
        self.plan = ModelPlan(
            config=wanted,
            folder=self.init_from,
            parts=self.train_parts,
            tower_weights=self.tower_weights,
            lora=lora,
            activation_checkpointing=activation_checkpointing,
            compiled=compile_blocks,
        )
        self.loss_kind: LossKind = loss
        self.attention = attention
        self.cpu_offload = cpu_offload

    def configure_model(self) -> None:
        """Builds the model once, sharded where the strategy shards, and freezes its other parts."""
        if self.model is not None:
            return
        if self.sharded:
            self.model, self.loaded_towers = build_sharded(
                self.plan,
                cast(Any, self.device_mesh)["data_parallel"],
                device=self.trainer.strategy.root_device,
                compute_dtype=self._compute_dtype(),
                cpu_offload=self.cpu_offload,
            )
        else:
            self.model, self.loaded_towers = build(self.plan, compute_dtype=self._compute_dtype())
        self.model.loss_kind = self.loss_kind
        self.model.set_attn_implementation(self.attention)

    def _compute_dtype(self) -> torch.dtype | None:
        trainer = self._trainer  # None where a stage is built outside a run.
        if trainer is None or not str(trainer.precision).startswith("bf16"):
            return None
        return torch.bfloat16

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """AdamW with one group per trained part; linear warm-up, then cosine to zero."""
        return adamw_with_cosine(
            parameter_groups(self.network, self.part_rates),
            steps=int(self.trainer.estimated_stepping_batches),
            warmup_fraction=self.warmup_fraction,
            weight_decay=self.weight_decay,
            beta2=self.adam_beta2,
            # float16's scaler wants to see the gradients before they are clipped.
            fuse=self.scaler is None,
        )

    @cached_property
    def init_from_hash(self) -> str:
        """SHA-256 of the model folder that the stage starts from; empty where it starts anew."""
        return "" if self.init_from is None else hash_path(self.init_from)

    def resume_facts(self) -> dict[str, str]:
        """What a run must have in common with a checkpoint to go on from it."""
        return {
            "stage": type(self).__name__,
            "preset": self.preset,
            "init_from_hash": self.init_from_hash,
            "train_parts": ", ".join(self.train_parts),
            "lora": str(self.plan.lora),
            "tokenizer": tokenizer_hash(self.processor.tokenizer),
        }

    def tower_facts(self) -> dict[str, str]:
        """The same, of towers that got published weights; known to the first process only."""
        towers = self.loaded_towers.items()
        return {f"tower_weights {name}": weights.sha256 for name, weights in towers}

    def save_model_folder(self, folder: Path, **facts: Any) -> None:
        """Writes weights, configuration, tokenizer and lineage for the next stage or evaluation.

        Every process must call it; the first one writes.

        Args:
            folder: Where to; made if it is not there. An older one stays until all is written.
            **facts: What else the lineage should say of this stage, e.g. the data hash.

        Raises:
            InputError: It cannot be written, e.g. because the disk is full.
        """
        save_folder(
            folder,
            network=self.network,
            processor=self.processor,
            lora=self.plan.lora,
            lineage=lambda: [*read_lineage(self.init_from), self._lineage_entry(facts)],
        )

    def _lineage_entry(self, facts: dict[str, Any]) -> dict[str, Any]:
        entry = {"stage": type(self).__name__, "preset": self.preset, **facts}
        if self.init_from is not None:
            entry["init_from_hash"] = self.init_from_hash
        if self.plan.lora is not None:
            entry["lora"] = asdict(self.plan.lora)
        if self.loaded_towers:
            entry["tower_weights"] = {
                name: {"source": weights.source, "sha256": weights.sha256}
                for name, weights in self.loaded_towers.items()
            }
        return entry
