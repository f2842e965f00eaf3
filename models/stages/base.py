"""What the three stages share: building or taking over the model, groups, schedule, steps.

A stage is a table of trained parts (`Stage.parts`) and its default rates; everything else is here.
"""

import shutil
from pathlib import Path
from typing import Any, ClassVar, cast

import lightning as L
import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor
from transformers import get_cosine_schedule_with_warmup

from models.fitting import TooLong
from models.modeling import PMCCambrian
from models.official_prompt import read_system_prompt
from models.parts import PARTS, part_of
from models.presets import preset as preset_config
from models.processing import PMCCambrianProcessor, official_prompt_of
from models.stages.handoff import check_handoff, read_lineage, write_lineage
from models.template import TemplateStyle
from models.tower_weights import TowerWeights, check_tower_sources, load_tower_weights
from semihvision.core.batch import Batch
from semihvision.core.errors import InputError
from semihvision.core.hashing import hash_path

SAMPLER_PARTS = frozenset({"connector", "query", "samplers"})
"""Parts that Cambrian's `mm_vision_sampler_lr` applies to: names with vision_sampler or
vision_query (cambrian.md section 14)."""


class Stage(L.LightningModule):
    """One training stage of PMC-Cambrian.

    Args:
        preset: Name of the model's sizes, ``tiny`` or ``8b``.
        init_from: Model folder of the stage before; empty starts from the preset with random
            weights. Refused if its towers or tokenizer differ from the preset's.
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
        system_prompt: System turn of every conversation; empty for none.
        system_prompt_file: UTF-8 file with that text, in place of ``system_prompt``.
        template: Style of the conversation template, ``cambrian`` or ``meta``.
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
        system_prompt: str = "",
        system_prompt_file: str = "",
        template: TemplateStyle = "cambrian",
        other_prompt: bool = False,
        too_long: TooLong = "refuse",
        max_length: int = 2048,
        max_new_tokens: int = 64,
    ) -> None:
        super().__init__()
        self.train_parts = tuple(train_parts) if train_parts is not None else self.parts
        unknown = sorted(set(self.train_parts) - set(PARTS))
        if unknown or not self.train_parts:
            raise InputError(f"train_parts {unknown or '[]'}: expected some of {', '.join(PARTS)}")
        self.preset = preset
        self.init_from = Path(init_from) if init_from else None
        self.learning_rate = learning_rate
        self.part_rates = {
            part: sampler_learning_rate for part in SAMPLER_PARTS if sampler_learning_rate
        } | ({"towers": tower_learning_rate} if tower_learning_rate else {})
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
            check_handoff(self.init_from, wanted=wanted)
        self.processor = PMCCambrianProcessor.from_preset(
            preset,
            system_prompt=_system_text(system_prompt, system_prompt_file),
            template=template,
            max_length=max_length,
            too_long=too_long,
            official=None if other_prompt else official_prompt_of(self.init_from),
        )
        self.processor.check_official()
        self.model: PMCCambrian | None = None

    def configure_model(self) -> None:
        """Builds the model once, and freezes what this stage does not train."""
        if self.model is not None:
            return
        if self.init_from is None:
            self.model = PMCCambrian.from_preset(self.preset)
        else:
            self.model = PMCCambrian.from_pretrained(self.init_from)
            # transformers hands models over in evaluation mode.
            self.model.train()
        self._prepare_towers(self.model)
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad_(part_of(name) in self.train_parts)

    def _prepare_towers(self, model: PMCCambrian) -> None:
        """Loads the towers' published weights; a trained tower gets a float32 copy of its own."""
        trained = "towers" in self.train_parts
        # Frozen batch norms, where a tower has some, keep their published statistics.
        model.towers.train(trained)
        for tower in model.towers:
            if trained and tower.backbone is not None:
                tower.backbone.float()
            source = self.tower_weights.get(tower.spec.name)
            if source is not None:
                self.loaded_towers[tower.spec.name] = load_tower_weights(tower, source)

    @property
    def network(self) -> PMCCambrian:
        """The model; an error before `configure_model`."""
        if self.model is None:
            raise RuntimeError("the model is built in configure_model(), which has not run yet")
        return self.model

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """AdamW with one group per trained part; linear warm-up, then cosine to zero."""
        groups: dict[str, list[torch.nn.Parameter]] = {part: [] for part in self.train_parts}
        for name, parameter in self.network.named_parameters():
            if parameter.requires_grad:
                groups[part_of(name)].append(parameter)
        optimizer = torch.optim.AdamW(
            [
                {"params": params, "lr": self.part_rates.get(part, self.learning_rate)}
                | {"name": part}
                for part, params in groups.items()
                if params
            ],
            weight_decay=self.weight_decay,
            betas=(0.9, self.adam_beta2),
        )
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = get_cosine_schedule_with_warmup(
            optimizer, round(self.warmup_fraction * steps), steps
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def _loss(self, batch: Batch) -> Tensor:
        tensors: dict[str, Any] = {k: v for k, v in batch.items() if k != "example_ids"}
        return cast(Tensor, self.network(**tensors).loss)

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Loss of one batch: mean cross-entropy over the trained tokens."""
        loss = self._loss(batch)
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Logs the validation loss, weighted by samples."""
        self._evaluation_step(batch, "validation/loss")

    def test_step(self, batch: Batch, batch_index: int) -> None:
        """Logs the test loss, weighted by samples."""
        self._evaluation_step(batch, "test/loss")

    def _evaluation_step(self, batch: Batch, name: str) -> None:
        size = len(batch["example_ids"])
        self.log(name, self._loss(batch), prog_bar=True, batch_size=size, sync_dist=True)

    def predict_step(self, batch: Batch, batch_index: int) -> list[dict[str, str]]:
        """Greedy answers: one ``{"id": ..., "answer": ...}`` per sample."""
        inputs: dict[str, Any] = {
            k: v for k, v in batch.items() if k not in ("example_ids", "labels")
        }
        generated = self.network.generate(
            **inputs, max_new_tokens=self.max_new_tokens, do_sample=False
        )
        return [
            {"id": example_id, "answer": self.processor.decode(ids.tolist())}
            for example_id, ids in zip(batch["example_ids"], generated, strict=True)
        ]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Leaves frozen towers out: they are known by name and come from their own weights."""
        if "towers" not in self.train_parts:
            state = checkpoint["state_dict"]
            for name in [name for name in state if name.startswith("model.towers.")]:
                del state[name]

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Puts this model's own frozen towers back where a checkpoint left them out."""
        if "towers" not in self.train_parts:
            state = checkpoint["state_dict"]
            for name, value in self.state_dict().items():
                if name.startswith("model.towers."):
                    state.setdefault(name, value)

    def save_model_folder(self, folder: Path, **facts: Any) -> None:
        """Writes weights, configuration, tokenizer and lineage for the next stage or evaluation.

        Args:
            folder: Where to; made if it is not there.
            **facts: What else the lineage should say of this stage, e.g. the data hash.
        """
        partial = folder.with_name(folder.name + ".partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        self.network.save_pretrained(partial)
        self.processor.save_pretrained(partial)
        entry = {"stage": type(self).__name__, "preset": self.preset, **facts}
        if self.init_from is not None:
            entry["init_from_hash"] = hash_path(self.init_from)
        if self.loaded_towers:
            entry["tower_weights"] = {
                name: {"source": weights.source, "sha256": weights.sha256}
                for name, weights in self.loaded_towers.items()
            }
        write_lineage(partial, [*read_lineage(self.init_from), entry])
        # The folder is swapped when complete, so that a kill leaves the older one or the newer.
        shutil.rmtree(folder, ignore_errors=True)
        partial.replace(folder)


def _system_text(text: str, file: str) -> str:
    if text and file:
        raise InputError("system_prompt and system_prompt_file are both given; expected one")
    return read_system_prompt(file) if file else text
