"""What a validation tells beyond one number: loss by source and modality, and sample answers."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import MLFlowLogger
from lightning.pytorch.utilities import rank_zero_warn

from semihvision.core.batch import Example, Turn
from semihvision.core.card import CARD_MODULES, card
from semihvision.core.errors import InputError
from semihvision.tracking import is_local, run_of

THUMBNAIL_PX = 336
"""Longest side of a picture in the table."""


class ValidationReport(Callback):
    """Logs the loss of `validate` and `test` by source and modality, and a table of answers.

    Losses are means over trained tokens, of all processes:
    ``validation/loss_by_source/<source>``, ``validation/loss_by_modality/<modality>``; likewise
    ``test/...``. The table, the artifact ``generations-step-<step>``, holds question, reference,
    greedy answer and first picture of evenly spread validation samples.

    A tracker is a place where others look, so a sample is shown only if the card of every source
    that it derives from allows redistribution without conditions. `restricted` shows the others
    too, and only where the tracker's store stays on this machine.

    Args:
        generations: Most samples in the table; 0 for no table.
        log_images: Show the pictures.
        restricted: Show samples whatever their cards say, in a local store.
    """

    def __init__(
        self, *, generations: int = 8, log_images: bool = True, restricted: bool = False
    ) -> None:
        if generations < 0:
            raise InputError(f"generations {generations}: expected 0 or more")
        self.generations = generations
        self.log_images = log_images
        self.restricted = restricted
        self._losses: dict[str, tuple[float, int]] = {}

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Refuses to put restricted samples where others may look."""
        if self.restricted and self.generations and not is_local():
            raise InputError(
                "ValidationReport.restricted: the tracker's store is not on this machine, and "
                "samples whose cards do not allow redistribution must not go there; leave it out, "
                "set generations to 0, or set MLFLOW_TRACKING_URI to a local store"
            )

    def on_validation_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, *_: Any
    ) -> None:
        """Keeps the losses of a batch's samples."""
        self._losses |= outputs

    def on_test_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, *_: Any
    ) -> None:
        """Keeps the losses of a batch's samples."""
        self._losses |= outputs

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Logs the losses, and the table where the model is whole in one process."""
        self._log_losses(trainer, pl_module, "validation")
        if self.generations and not trainer.sanity_checking:
            self._log_answers(trainer, pl_module)

    def on_test_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Logs the losses."""
        self._log_losses(trainer, pl_module, "test")

    def _log_losses(self, trainer: L.Trainer, pl_module: L.LightningModule, split: str) -> None:
        losses, self._losses = self._losses, {}
        if trainer.sanity_checking:
            return
        examples = _data(trainer).examples(split)
        groupings: dict[str, Callable[[Example], str]] = {
            "source": lambda example: example.source,
            "modality": lambda example: example.modality or "not stated",
        }
        for name, group_of in groupings.items():
            sums = group_sums(losses, examples, group_of)
            own: Any = torch.tensor([*sums.values()], dtype=torch.float64, device=pl_module.device)
            for group, (loss, count) in zip(
                sums, trainer.strategy.reduce(own, reduce_op="sum").tolist(), strict=True
            ):
                if count:
                    pl_module.log(f"{split}/loss_by_{name}/{group}", loss / count)

    def _log_answers(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.world_size > 1 or pl_module.device_mesh is not None:
            rank_zero_warn(
                "no sample answers: the model is spread over processes, and generation runs on "
                "whole models; `semihvision validate` on one device makes them"
            )
            return
        examples = _data(trainer).examples("validation")
        shown = [i for i, e in enumerate(examples) if self.restricted or may_be_shown(e)]
        loggers = [logger for logger in trainer.loggers if isinstance(logger, MLFlowLogger)]
        if not shown or not loggers:
            return
        table = self._table(trainer, pl_module, evenly(shown, self.generations))
        for logger in loggers:
            run_of(logger).log_table(f"generations-step-{trainer.global_step:06d}", table)

    def _table(
        self, trainer: L.Trainer, pl_module: L.LightningModule, indices: Sequence[int]
    ) -> dict[str, list[Any]]:
        data = _data(trainer)
        table: dict[str, list[Any]] = defaultdict(list)
        for index in indices:
            example = data.examples("validation")[index]
            answer = _answer(trainer, pl_module, index)
            table["id"].append(example.example_id)
            table["source"].append(example.source)
            table["modality"].append(example.modality or "not stated")
            table["question"].append(_last(example.turns, "human"))
            table["reference"].append(_last(example.turns, "gpt"))
            table["answer"].append(answer)
            if self.log_images:
                table["image"].append(_thumbnail(data.pictures(example)))
        return table


def _answer(trainer: L.Trainer, pl_module: L.LightningModule, index: int) -> str:
    """Answer to a validation sample's question, or why it cannot be asked.

    A sample that was shortened for the loss is still whole as a question, and may be too long.
    """
    try:
        batch = _data(trainer).prompts("validation", [index])
    except InputError as error:
        if error.kind != "too_long":
            raise
        return f"not asked: {error}"
    batch = trainer.strategy.batch_to_device(batch, pl_module.device)
    with trainer.precision_plugin.forward_context():
        (answered,) = cast(Any, pl_module).predict_step(batch, 0)
    return str(answered["answer"])


def group_sums(
    losses: Mapping[str, tuple[float, int]],
    examples: Sequence[Example],
    group_of: Callable[[Example], str],
) -> dict[str, tuple[float, int]]:
    """Loss and trained tokens summed over the examples of each group.

    Args:
        losses: By example, of those that this process has seen.
        examples: All of the split; every process has the same.
        group_of: Name of an example's group.

    Returns:
        All groups of ``examples`` in order of their names, also those without a loss.
    """
    sums = dict.fromkeys(sorted({group_of(example) for example in examples}), (0.0, 0))
    for example in examples:
        if example.example_id in losses:
            total, count = sums[group_of(example)]
            loss, tokens = losses[example.example_id]
            sums[group_of(example)] = (total + loss, count + tokens)
    return sums


def may_be_shown(example: Example) -> bool:
    """Whether the cards of all sources that an example derives from allow redistribution."""
    return all(
        source in CARD_MODULES and card(source).redistribution == "yes"
        for source in example.derived_from
    )


def evenly(items: Sequence[int], most: int) -> list[int]:
    """At most so many items, spread over all of them, in order."""
    count = min(most, len(items))
    return [items[i * len(items) // count] for i in range(count)]


def _data(trainer: L.Trainer) -> Any:
    return trainer.datamodule  # type: ignore[attr-defined]


def _last(turns: Sequence[Turn], role: str) -> str:
    return next((turn.text for turn in reversed(turns) if turn.role == role), "")


def _thumbnail(pictures: Sequence[Any]) -> Any:
    """The first picture, smaller; no text-only sample has one."""
    if not pictures:
        return ""
    small = pictures[0].convert("RGB")
    small.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX))
    return small
