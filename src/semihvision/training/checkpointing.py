"""Checkpoints that a killed run goes on from, bit for bit, when the same command is given again."""

import logging
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, cast

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.trainer.states import TrainerFn

from semihvision.core.errors import InputError
from semihvision.training import checkpoint_files as files
from semihvision.training.checkpoint_state import (
    PROGRESS_FILE,
    StepState,
    restore,
    restore_random,
    step_state,
)
from semihvision.training.checkpoint_writing import CheckpointWriter
from semihvision.training.preemption import StopSignals, requeue
from semihvision.training.same_run import check_same_run, on_first_process, run_facts

_log = logging.getLogger(__name__)


class ResumableCheckpoint(Callback):
    """Saves a run every few steps and at its end, and goes on from the newest complete checkpoint.

    A checkpoint holds trained parameters, optimizer, schedule, loops, used samples and random
    states; frozen parameters come from where the run took them. It is sharded: every process
    writes its own part, and another number of processes can read it (random states of dropout are
    then drawn anew; the samples and their order stay). On GPUs it is written while training goes
    on.

    A run that is told to end (SIGTERM, SIGUSR1) saves, goes back into Slurm's queue if it came from
    there, and exits with 128 + the signal's number. It ends after the step that is under way, or
    between two batches of a validation, with a checkpoint of the last step; when a checkpoint is
    just being written, with that one. Before the first batch there is nothing to save, and it ends
    at once, wherever it is. After the last step it is not held up: the model folder is written.

    The index of torch's distributed checkpoints is pickled: a checkpoint is for the run that wrote
    it. What is handed on is a model folder (`ModelFolder`).

    Args:
        dirpath: Folder of this run's checkpoints and no other's.
        every_n_steps: Optimizer steps between two checkpoints; the last step is always saved.
        keep: How many are kept.
        asynchronous: Write in the background where the model is on a GPU.
    """

    def __init__(
        self, dirpath: str, *, every_n_steps: int = 500, keep: int = 2, asynchronous: bool = True
    ) -> None:
        if every_n_steps < 1 or keep < 1:
            raise InputError(f"every_n_steps {every_n_steps}, keep {keep}: expected 1 or more")
        self.dirpath = Path(dirpath)
        self.every_n_steps = every_n_steps
        self._writer = CheckpointWriter(self.dirpath, keep=keep, asynchronous=asynchronous)
        self._signals = StopSignals()
        self._resumed: Path | None = None
        self._progress: dict[str, Any] = {}
        self._facts: dict[str, dict[str, str]] = {}
        self._taken: StepState | None = None
        self._last_step = -1
        self._told = False

    def run_id(self) -> str | None:
        """Tracker's id of the run that the newest checkpoint is of; None where there is none."""
        found = files.newest(self.dirpath)
        if found is None:
            return None
        return torch.load(found / PROGRESS_FILE, weights_only=True)["run_id"] or None

    # -- going on ---------------------------------------------------------------------------------

    def listen(self, trainer: L.Trainer) -> None:
        """Ends the process at once when it is told to, from now until training begins."""
        self._signals.listen(at_once=partial(self._end_at_once, trainer))

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Finds the checkpoint to go on from and tells the data module, before it makes loaders."""
        if stage != "fit":
            return
        self.listen(trainer)
        found = files.newest(self.dirpath) if trainer.is_global_zero else None
        self._resumed = trainer.strategy.broadcast(found)
        if self._resumed is not None:
            self._progress = torch.load(self._resumed / PROGRESS_FILE, weights_only=True)
        on_first_process(trainer, lambda: self._check("facts", run_facts(trainer)))
        if self._resumed is None:
            return
        trainer.datamodule.load_state_dict(self._progress["data"])  # type: ignore[attr-defined]
        if trainer.is_global_zero:
            _log.warning("going on from %s", self._resumed)

    def _check(self, kind: str, facts: dict[str, str]) -> None:
        """Compares facts of this run with those of the checkpoint, and keeps them for the next."""
        self._facts[kind] = facts
        if self._resumed is not None:
            check_same_run(self._resumed, self._progress[kind], facts)

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Loads weights, optimizer, schedules and loops, once they are built.

        Raises:
            InputError: The checkpoint is beyond the end of this run.
        """
        stage = cast(Any, pl_module)
        on_first_process(trainer, lambda: self._check("towers", stage.tower_facts()))
        if self._resumed is not None:
            restore(trainer, self._resumed, self._progress)
            _check_not_beyond(trainer, self._resumed)

    def on_sanity_check_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Takes the signals from Lightning, which has them since the model was set up."""
        self.listen(trainer)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Restores the random generators; from now on signals wait until a step has ended."""
        if self._resumed is not None:
            restore_random(trainer, self._resumed, self._progress)
        self._writer.open_group(pl_module.device)
        self._last_step = trainer.global_step
        self._signals.listen()

    # -- saving -----------------------------------------------------------------------------------

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Saves after an optimizer step whose turn it is, or when the run is told to end."""
        if trainer.global_step == self._last_step:
            return
        self._last_step = trainer.global_step
        self._taken = step_state(trainer, self._facts)
        told = self._is_told(trainer)
        if told or trainer.global_step % self.every_n_steps == 0:
            self._writer.write(trainer, self._taken, in_background=not told)
            # It may have been told while that was written.
            told = told or self._is_told(trainer)
        self._told = told

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Ends a run that was told to: only now is the last step in the tracker."""
        if self._told:
            self._end(trainer)

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Ends a run that was told to, before it validates."""
        self._end_if_told(trainer)

    def on_validation_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        """Ends a run that was told to, in the middle of a validation."""
        self._end_if_told(trainer)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Ends a run that was told to while sample answers were made."""
        self._end_if_told(trainer)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Saves the last step, so that a longer run can go on from it and a lost model be made."""
        if self._taken is not None:
            self._writer.write(trainer, self._taken)
        self._writer.settle(trainer)

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Gives the signals back, now that the model folder is written."""
        self._signals.release()

    def on_exception(
        self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException
    ) -> None:
        """Gives the signals back."""
        self._signals.release()

    # -- ending -----------------------------------------------------------------------------------

    def _is_told(self, trainer: L.Trainer) -> bool:
        """Whether any process was told to end; all agree."""
        received = self._signals.received is not None
        return bool(trainer.strategy.reduce_boolean_decision(received, all=False))

    def _end_if_told(self, trainer: L.Trainer) -> None:
        if trainer.state.fn != TrainerFn.FITTING or trainer.sanity_checking:
            return
        if self._told or self._is_told(trainer):
            self._end(trainer)

    def _end(self, trainer: L.Trainer) -> NoReturn:
        if self._taken is not None:
            self._writer.write(trainer, self._taken)
        number = self._signals.received or 15
        trainer.strategy.barrier("end")
        if trainer.is_global_zero:
            _log.warning(
                "signal %d: saved step %d in %s; `fit` with the same settings goes on from there",
                number,
                trainer.global_step,
                self.dirpath,
            )
            # Nobody waits for this process any more: Slurm may refuse.
            requeue()
        raise SystemExit(128 + number)

    def _end_at_once(self, trainer: L.Trainer, number: int) -> NoReturn:
        if trainer.strategy.launcher is not None:
            # Processes that this one has started would wait for it.
            trainer.strategy.launcher.kill(number)
        if trainer.is_global_zero:
            _log.warning("signal %d before the first step; there is nothing new to save", number)
            requeue()
        raise SystemExit(128 + number)


def _check_not_beyond(trainer: L.Trainer, folder: Path) -> None:
    """Refuses a checkpoint that has more steps than the run is to have; says if nothing is left."""
    wanted = trainer.estimated_stepping_batches
    if trainer.global_step > wanted:
        raise InputError(
            f"{folder}: the checkpoint is at step {trainer.global_step}, the run asks for {wanted} "
            "steps, so there is nothing to train. Raise max_steps or max_epochs to go on from it; "
            "to begin anew, give ResumableCheckpoint another dirpath and ModelFolder another "
            f"folder, or move {folder.parent} and the model folder away"
        )
    if trainer.global_step == wanted and trainer.is_global_zero:
        _log.warning("all %d steps are done; nothing is left to train", wanted)
