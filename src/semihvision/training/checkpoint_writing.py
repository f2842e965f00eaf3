"""Writing a checkpoint from all processes together, at once or while training goes on."""

from concurrent.futures import Future
from pathlib import Path
from typing import Any, NamedTuple, cast

import lightning as L
import torch
import torch.distributed as dist
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.state_dict_saver import async_save, save

from semihvision.core.errors import InputError
from semihvision.training import checkpoint_files as files
from semihvision.training.checkpoint_state import (
    PROGRESS_FILE,
    StepState,
    all_finite,
    distributed,
    one_process_is_meant,
    random_file,
    tensors,
)


class _Pending(NamedTuple):
    """A checkpoint that is being written in the background."""

    future: Future[Any]
    partial: Path
    final: Path


class CheckpointWriter:
    """Writes checkpoints below a folder, one at a time; every process makes every call.

    Args:
        dirpath: Folder of this run's checkpoints.
        keep: How many are kept.
        asynchronous: Write in the background where the model is on a GPU.
    """

    def __init__(self, dirpath: Path, *, keep: int, asynchronous: bool) -> None:
        self.dirpath = dirpath
        self._keep = keep
        self._asynchronous = asynchronous
        self._pending: _Pending | None = None
        self._group: dist.ProcessGroup | None = None
        self._written_step = -1

    def open_group(self, device: torch.device) -> None:
        """Makes the processes' own line of talk for writing in the background."""
        if self._asynchronous and device.type == "cuda" and distributed():
            self._group = cast(dist.ProcessGroup, dist.new_group(backend="gloo"))

    def write(self, trainer: L.Trainer, taken: StepState, *, in_background: bool = False) -> None:
        """Writes the checkpoint of a step, unless it was the last that was written.

        Args:
            trainer: Its tensors are those of the step.
            taken: What else the step has left behind.
            in_background: Return before it is written, where that can be.

        Raises:
            InputError: It cannot be written, e.g. because the disk is full, or must not be, since
                it would hold NaN; those before it stay.
        """
        self.settle(trainer)
        if taken.step == self._written_step:
            return
        state = tensors(trainer)
        if not trainer.strategy.reduce_boolean_decision(all_finite(state), all=True):
            raise InputError(
                f"after step {taken.step} weights or optimizer hold NaN or infinity; nothing of it "
                f"was saved, and the checkpoints in {self.dirpath} are as they were. Lower the "
                "learning rate or lengthen the warm-up, and run the same command again"
            )
        final = files.folder_of(self.dirpath, taken.step)
        partial = files.partial_of(final)
        error = _write_small_files(trainer, taken, final)
        if not trainer.strategy.reduce_boolean_decision(error is None, all=True):
            self._give_up(trainer, partial, error)
        self._written_step = taken.step
        on_gpu = trainer.strategy.root_device.type == "cuda"
        try:
            if in_background and self._asynchronous and on_gpu:
                future = async_save(
                    state,
                    checkpoint_id=partial,
                    process_group=self._group,
                    no_dist=not distributed(),
                )
                self._pending = _Pending(cast("Future[Any]", future), partial, final)
                return
            with one_process_is_meant():
                save(state, checkpoint_id=partial, no_dist=not distributed())
        except (Exception, CheckpointException) as failure:
            self._give_up(trainer, partial, _cause(failure))
        self._finish(trainer, partial, final)

    def settle(self, trainer: L.Trainer) -> None:
        """Waits for the checkpoint that is being written, if there is one.

        Raises:
            InputError: As in `write`.
        """
        if self._pending is None:
            return
        pending, self._pending = self._pending, None
        try:
            pending.future.result()
        except (Exception, CheckpointException) as failure:
            self._give_up(trainer, pending.partial, _cause(failure))
        self._finish(trainer, pending.partial, pending.final)

    def _finish(self, trainer: L.Trainer, partial: Path, final: Path) -> None:
        error: OSError | None = None
        if trainer.is_global_zero:
            try:
                files.finish(partial, final)
                files.prune(self.dirpath, self._keep)
            except OSError as failure:
                error = failure
        if not trainer.strategy.reduce_boolean_decision(error is None, all=True):
            self._give_up(trainer, partial, error)

    def _give_up(self, trainer: L.Trainer, partial: Path, error: BaseException | None) -> None:
        last = None
        if trainer.is_global_zero:
            files.abandon(partial)
            last = files.newest(self.dirpath)
        raise InputError(
            f"{partial.stem}: the checkpoint cannot be written to {self.dirpath} "
            f"({error or 'another process has failed'}). The last good one is {last}: make room, "
            "and run the same command again to go on from it"
        ) from error


def _cause(error: BaseException) -> BaseException:
    """What has happened in one of the processes; torch collects it in what is no `Exception`."""
    if isinstance(error, CheckpointException) and error.failures:
        return next(iter(error.failures.values()))[0]
    return error


def _write_small_files(
    trainer: L.Trainer, taken: StepState, final: Path
) -> OSError | RuntimeError | None:
    """What is no sharded tensor; an error is returned, for all processes to agree on it."""
    error: OSError | RuntimeError | None = None
    partial = files.partial_of(final)
    try:
        if trainer.is_global_zero:
            files.begin(final)
            torch.save(taken.progress, partial / PROGRESS_FILE)
    except (OSError, RuntimeError) as failure:
        error = failure
    trainer.strategy.barrier("checkpoint folder")
    try:
        torch.save(taken.random, random_file(partial, trainer.global_rank))
    except (OSError, RuntimeError) as failure:
        error = error or failure
    return error
