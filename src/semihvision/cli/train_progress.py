"""What `fit`, `validate`, `test` and `predict` say on standard error while they run."""

import math
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import (
    Callback,
    ProgressBar,
    RichProgressBar,
    TQDMProgressBar,
)
from lightning.pytorch.loggers import MLFlowLogger
from rich.progress import TaskID

from semihvision.cli.output import draws_bars, stderr
from semihvision.cli.plain_progress import PlainProgress, duration
from semihvision.tracking import runs_link, ui_command
from semihvision.training.callbacks import ModelFolder, PredictionWriter

_LOSSES = ("train/loss", "validation/loss", "test/loss")


def with_progress(callbacks: object, *, wanted: bool) -> list[Callback]:
    """A trainer's callbacks with a progress display that suits standard error.

    Where that is no terminal, lines take the place of configured bars, which would show nothing
    until their end.

    Args:
        callbacks: The trainer's ``callbacks`` as configured: None, one or several.
        wanted: The trainer's ``enable_progress_bar``.
    """
    given: list[Any] = list(callbacks) if isinstance(callbacks, list | tuple) else [callbacks]
    chosen: list[Callback] = [one for one in given if one is not None]
    if not wanted:
        return chosen
    if not draws_bars():
        chosen = [one for one in chosen if not isinstance(one, RichProgressBar | TQDMProgressBar)]
        bar: Callback = TrainingLines()
    else:
        bar = RichProgressBar(console_kwargs={"stderr": True})
    return chosen if any(isinstance(one, ProgressBar) for one in chosen) else [*chosen, bar]


class TrainingLines(ProgressBar):
    """Plain lines in place of Lightning's bars: steps of the whole run, batches of the others."""

    def __init__(self) -> None:
        super().__init__()
        self._lines = PlainProgress()
        self._is_enabled = True
        self._epoch = 1
        self._tasks: dict[str, TaskID] = {}

    def disable(self) -> None:
        """Writes nothing, as in all processes but the first."""
        self._is_enabled = False

    def enable(self) -> None:
        """Writes again."""
        self._is_enabled = True

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Begins the count of optimiser steps; a run that goes on begins where it was."""
        steps = trainer.estimated_stepping_batches
        self._begin("training", steps, describe=lambda: self._training(trainer))

    def on_train_batch_end(self, trainer: L.Trainer, *_: object) -> None:
        """Counts steps."""
        self._epoch = trainer.current_epoch + 1  # at the run's end it is one more
        self._count("training", trainer.global_step)

    def on_train_end(self, *_: object) -> None:
        """Writes the last line about training."""
        self._end()

    def on_validation_batch_start(self, trainer: L.Trainer, *_: object) -> None:
        """Begins the count of a validation's batches."""
        if "validation" not in self._tasks:
            self._begin("validation", self._batches("val"))

    def on_validation_batch_end(self, *_: object) -> None:
        """Counts batches."""
        self._count("validation")

    def on_validation_end(self, trainer: L.Trainer, *_: object) -> None:
        """Within training a validation needs no line of its own at its end."""
        if trainer.state.fn != "fit":
            self._end()
        elif "validation" in self._tasks:
            self._lines.remove_task(self._tasks.pop("validation"))

    def on_test_start(self, *_: object) -> None:
        """Begins the count of batches."""
        self._begin("test", self._batches("test"))

    def on_test_batch_end(self, *_: object) -> None:
        """Counts batches."""
        self._count("test")

    def on_test_end(self, *_: object) -> None:
        """Writes the last line."""
        self._end()

    def on_predict_start(self, *_: object) -> None:
        """Begins the count of batches."""
        self._begin("prediction", self._batches("predict"))

    def on_predict_batch_end(self, *_: object) -> None:
        """Counts batches."""
        self._count("prediction")

    def on_predict_end(self, *_: object) -> None:
        """Writes the last line."""
        self._end()

    def _training(self, trainer: L.Trainer) -> str:
        """Asked only when a line is written: a loss on a GPU has to be waited for."""
        epochs = trainer.max_epochs
        of = f" of {epochs}" if epochs is not None and epochs > 0 else ""
        return ", ".join([f"training, epoch {self._epoch}{of}", *_losses(trainer), "steps"])

    def _batches(self, kind: str) -> float:
        sanity = kind == "val" and self.trainer.sanity_checking
        name = "num_sanity_val_batches" if sanity else f"num_{kind}_batches"
        found = getattr(self.trainer, name)
        return float(sum(found) if isinstance(found, list) else found)

    def _begin(self, name: str, total: float, describe: Any = None) -> None:
        if self._is_enabled:
            known = total if math.isfinite(total) and total > 0 else None
            self._tasks[name] = self._lines.add_task(describe or f"{name}, batches", total=known)

    def _count(self, name: str, done: int | None = None) -> None:
        if name not in self._tasks:
            return
        if done is None:
            self._lines.advance(self._tasks[name])
        else:
            self._lines.update(self._tasks[name], completed=done)

    def _end(self) -> None:
        self._lines.finish()
        self._tasks.clear()


def _losses(trainer: L.Trainer) -> list[str]:
    found = trainer.callback_metrics
    return [f"{name} {float(found[name]):.4g}" for name in _LOSSES if name in found]


def say_summary(command: str, trainer: L.Trainer, seconds: float) -> None:
    """The last lines of a command: what was done, and where its run and its model are.

    Args:
        command: ``fit``, ``validate``, ``test`` or ``predict``.
        trainer: As the command left it.
        seconds: That it took.
    """
    steps = trainer.global_step
    done = [f"{steps:,} step{'' if steps == 1 else 's'}"] if command == "fit" else []
    said = ", ".join([*done, *_losses(trainer), duration(seconds)])
    lines = [f"{command} done: {said}"]
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if command == "fit" and isinstance(callback, ModelFolder):
            lines.append(f"model:   {callback.folder}")
        elif command == "predict" and isinstance(callback, PredictionWriter):
            lines.append(f"answers: {callback.file}")
    for logger in trainer.loggers:
        if isinstance(logger, MLFlowLogger):
            lines.append(f"MLflow:  {ui_command()}")
            lines.append(f"runs:    {runs_link(logger.experiment_id or '')}")
    for line in lines:
        stderr.print(line, markup=False, highlight=False, soft_wrap=True)
