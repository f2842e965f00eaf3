"""What a run leaves behind: the model folder, its provenance in the tracker, its predictions."""

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import lightning as L
from lightning.pytorch.callbacks import BasePredictionWriter, Callback
from lightning.pytorch.cli import SaveConfigCallback
from lightning.pytorch.loggers import MLFlowLogger
from lightning.pytorch.trainer.states import TrainerFn

from models.stages.handoff import read_lineage
from semihvision.core.errors import InputError
from semihvision.tracking import code_tags
from semihvision.training.same_run import on_first_process

_log = logging.getLogger(__name__)


class ModelFolder(Callback):
    """Writes the trained model as a folder that the next stage and `evaluate` read.

    Args:
        folder: Where to; an existing folder is overwritten only when training has ended, and never
            by a model of fewer steps.
    """

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)
        self._has_trained = False

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Refuses a run that would end with fewer steps than the model in the folder has.

        Raises:
            InputError: It would.
        """
        self._has_trained = False
        steps = trainer.estimated_stepping_batches
        on_first_process(trainer, lambda: self._check_not_older(steps))

    def on_train_batch_end(self, *_: Any) -> None:
        """Notes that this run has trained."""
        self._has_trained = True

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """All processes take part where the model is sharded; the first one writes.

        Raises:
            InputError: The run was ended early (by another callback, or its time), with fewer steps
                than the model in the folder has.
        """
        on_first_process(trainer, lambda: self._check_not_older(trainer.global_step))
        written = trainer.strategy.broadcast(self._steps_written())
        if not self._has_trained and written == trainer.global_step:
            if trainer.is_global_zero:
                _log.warning("%s holds the model of step %d and stays", self.folder, written)
            return
        data = trainer.datamodule  # type: ignore[attr-defined]
        facts = {"data_hash": getattr(data, "data_hash", "")}
        if (contents := getattr(data, "contents", None)) is not None:
            facts["data"] = contents.document()
        save = cast(Any, pl_module).save_model_folder
        save(self.folder, steps=trainer.global_step, **facts, **code_tags())

    def _steps_written(self) -> int:
        """Steps of the stage that the model in the folder came out of; 0 for none."""
        lineage = read_lineage(self.folder)
        return int(lineage[-1].get("steps", 0)) if lineage else 0

    def _check_not_older(self, steps: float) -> None:
        written = self._steps_written()
        if written > steps:
            raise InputError(
                f"{self.folder} holds a model of {written} steps and is not replaced by one of "
                f"{steps}: raise max_steps or max_epochs, give ModelFolder another folder, or move "
                "this one away"
            )


class RunProvenance(SaveConfigCallback):
    """Logs the resolved configuration, data hash and sample counts to MLflow.

    It takes the place of Lightning's own, which keeps one configuration per experiment.
    """

    def save_config(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Called once, on rank 0, when the data were read and before the first step."""
        text = self.parser.dump(self.config, skip_none=False)
        data = trainer.datamodule  # type: ignore[attr-defined]
        tags = {
            "stage": type(pl_module).__name__,
            "data_hash": getattr(data, "data_hash", ""),
            "init_from_hash": getattr(pl_module, "init_from_hash", ""),
        }
        for logger in trainer.loggers:
            if isinstance(logger, MLFlowLogger):
                client, run_id = logger.experiment, cast(str, logger.run_id)
                client.log_text(run_id, text, "config.yaml")
                for name, value in tags.items():
                    client.set_tag(run_id, name, value)
                _log_counts(client, run_id, data.summary() if data is not None else {})

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Says which weights `validate` is about; in `fit` they are those in training."""
        _say_weights(trainer, pl_module)

    def on_test_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Says which weights `test` is about."""
        _say_weights(trainer, pl_module)

    def on_predict_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Says which weights `predict` is about."""
        _say_weights(trainer, pl_module)

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Tags the run with the hashes of the tower weights, once the model is built."""
        for name, weights in getattr(pl_module, "loaded_towers", {}).items():
            for logger in trainer.loggers:
                if isinstance(logger, MLFlowLogger) and trainer.is_global_zero:
                    run_id = cast(str, logger.run_id)
                    logger.experiment.set_tag(run_id, f"tower_weights/{name}", weights.sha256)


def _say_weights(trainer: L.Trainer, pl_module: L.LightningModule) -> None:
    """One line: where the weights came from, and where those that `fit` has made are."""
    if trainer.state.fn == TrainerFn.FITTING or not trainer.is_global_zero:
        return
    given = trainer.ckpt_path or getattr(pl_module, "init_from", None)
    _log.warning("weights: %s", given or "drawn at random, since init_from is not set")
    callbacks = cast(list[Callback], trainer.callbacks)  # type: ignore[attr-defined]
    for made in (one.folder for one in callbacks if isinstance(one, ModelFolder)):
        if made.is_dir() and (given is None or Path(given) != made):
            _log.warning("for those that fit has made add --model.init_args.init_from %s", made)


def _log_counts(client: Any, run_id: str, counts: Mapping[str, float]) -> None:
    """Logs counts as parameters, which no tracker lets change.

    A run that goes on keeps those it began with; what has changed becomes a tag ``resumed/<name>``.
    """
    begun = client.get_run(run_id).data.params
    for name, count in counts.items():
        if begun.get(name, str(count)) == str(count):
            client.log_param(run_id, name, count)
        else:
            _log.warning("%s is %s, was %s when this run began", name, count, begun[name])
            client.set_tag(run_id, f"resumed/{name}", count)


class PredictionWriter(BasePredictionWriter):
    """Writes answers of `predict`: one JSON object a line, with record and question as ``id``.

    Files for `score`, with the benchmark's own ids, come from `evaluate`.

    Args:
        file: Where to; written anew by every run.
    """

    def __init__(self, file: str) -> None:
        super().__init__(write_interval="batch")
        self.file = Path(file)

    def on_predict_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Starts an empty file.

        Raises:
            InputError: There are several processes, of which each would write every answer.
        """
        if trainer.world_size > 1:
            raise InputError(
                f"predict runs on one device, not on {trainer.world_size}: add --trainer.devices 1"
            )
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.write_text("", encoding="utf-8")

    def write_on_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        prediction: Any,
        batch_indices: Sequence[int] | None,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int,
    ) -> None:
        """Appends the answers of one batch."""
        with self.file.open("a", encoding="utf-8") as out:
            out.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in prediction)
