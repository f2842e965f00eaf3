"""Checkpoints that a killed run goes on from, bit for bit, when the same command is given again."""

import logging
import warnings
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import lightning as L
import torch
import torch.distributed as dist
from lightning.pytorch.callbacks import Callback
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import async_save, save

from semihvision.core.errors import InputError
from semihvision.training import checkpoint_files as files
from semihvision.training.preemption import StopSignals, requeue
from semihvision.training.random_state import random_state, restore_random_state, seed_anew

_log = logging.getLogger(__name__)

PROGRESS_FILE = "progress.pt"
# Frozen parameters are not in a checkpoint, and nothing else may be missing: `load` is strict.
_OPTIONS = StateDictOptions(ignore_frozen_params=True, strict=False)


class ResumableCheckpoint(Callback):
    """Saves a run every few steps and goes on from the newest complete checkpoint when it starts.

    A checkpoint holds trained parameters, optimizer, schedule, loops, used samples and random
    states; frozen parameters come from where the run took them. It is sharded: every process
    writes its own part, and another number of processes can read it (random states of dropout are
    then drawn anew; the samples and their order stay). On GPUs it is written while training goes
    on. A run that is told to end (SIGTERM, SIGUSR1) saves, goes back into Slurm's queue if it came
    from there, and exits with 128 + the signal's number.

    The index of torch's distributed checkpoints is pickled: a checkpoint is for the run that wrote
    it. What is handed on is a model folder (`ModelFolder`).

    Args:
        dirpath: Folder of this run's checkpoints and no other's.
        every_n_steps: Optimizer steps between two checkpoints.
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
        self.keep = keep
        self.asynchronous = asynchronous
        self._signals = StopSignals()
        self._resumed: Path | None = None
        self._progress: dict[str, Any] = {}
        self._last_step = -1
        self._told = False
        self._pending: tuple[Future[Any], Path, Path] | None = None
        self._group: dist.ProcessGroup | None = None

    def run_id(self) -> str | None:
        """Tracker's id of the run that the newest checkpoint is of; None where there is none."""
        found = files.newest(self.dirpath)
        if found is None:
            return None
        return torch.load(found / PROGRESS_FILE, weights_only=True)["run_id"] or None

    # -- going on ---------------------------------------------------------------------------------

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Finds the checkpoint to go on from and tells the data module, before it makes loaders."""
        if stage != "fit":
            return
        found = files.newest(self.dirpath) if trainer.is_global_zero else None
        self._resumed = trainer.strategy.broadcast(found)
        if self._resumed is None:
            return
        path = self._resumed / PROGRESS_FILE
        self._progress = torch.load(path, weights_only=True)
        _check_same_run(self._resumed, self._progress["facts"], _facts(trainer))
        _data(trainer).load_state_dict(self._progress["data"])
        if trainer.is_global_zero:
            _log.warning("going on from %s", self._resumed)

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Loads weights, optimizer, schedules and loops, once they are built."""
        if self._resumed is None:
            return
        state = _tensors(trainer)
        with _one_process_is_meant():
            load(state, checkpoint_id=self._resumed, no_dist=not _distributed())
        network, (optimizer,) = _network(trainer), trainer.optimizers
        set_model_state_dict(network, state["model"], options=_OPTIONS)
        # Rates, decay and betas are those of this run's settings, which may have changed.
        whole = {**_optimizer_state(trainer), "state": state["optimizer"]}
        set_optimizer_state_dict(network, optimizer, whole, options=_OPTIONS)
        for config, saved in zip(
            trainer.lr_scheduler_configs, self._progress["schedules"], strict=True
        ):
            _restore_schedule(config.scheduler, saved)
        for callback in cast(list[Callback], trainer.callbacks):  # type: ignore[attr-defined]
            if callback.state_key in self._progress["callbacks"]:
                callback.load_state_dict(self._progress["callbacks"][callback.state_key])
        self._restore_loops(trainer)

    def _restore_loops(self, trainer: L.Trainer) -> None:
        """Loop counters; batches are counted anew where the number of processes has changed."""
        loop = trainer.fit_loop
        loop.load_state_dict(self._progress["loops"])
        loop.setup_data()
        epoch_is_over = self._progress["data"]["used"] == 0
        done = int(loop.max_batches) if epoch_is_over else _data(trainer).batches_used
        batches: Any = loop.epoch_loop.batch_progress
        batches.total.ready += done - batches.current.ready
        batches.current.ready = done
        for count in (batches.current, batches.total):
            # The checkpoint was taken in the hook that ends a batch: it is not completed yet.
            count.started = count.processed = count.ready
            count.completed = count.ready - 1

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Restores the random generators, and listens for signals from now on."""
        if self._resumed is not None:
            same = self._progress["world_size"] == trainer.world_size
            path = self._resumed / f"random-{trainer.global_rank}.pt"
            if same:
                restore_random_state(torch.load(path, weights_only=True))
            else:
                seed_anew(trainer.global_step, trainer.global_rank)
        if self.asynchronous and pl_module.device.type == "cuda" and _distributed():
            self._group = cast(dist.ProcessGroup, dist.new_group(backend="gloo"))
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
        told = trainer.strategy.reduce_boolean_decision(
            self._signals.received is not None, all=False
        )
        if told or trainer.global_step % self.every_n_steps == 0:
            self.save(trainer, in_background=not told)
        self._told = told

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Ends a run that was told to: only now is the last step in the tracker."""
        if self._told:
            self._end(trainer)

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Ends a run that was told to, before it validates."""
        if self._told:
            self._end(trainer)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Waits for the last checkpoint."""
        self._settle(trainer)
        self._signals.release()

    def on_exception(
        self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException
    ) -> None:
        """Gives the signals back."""
        self._signals.release()

    def save(self, trainer: L.Trainer, *, in_background: bool = False) -> None:
        """Writes a checkpoint of the step that has just ended; every process calls it.

        Raises:
            InputError: It cannot be written, e.g. because the disk is full; those before it stay.
        """
        self._settle(trainer)
        final = files.folder_of(self.dirpath, trainer.global_step)
        partial = Path(str(final) + ".partial")
        error = self._write_small_files(trainer, final, partial)
        if not trainer.strategy.reduce_boolean_decision(error is None, all=True):
            self._give_up(trainer, partial, error)
        state = _tensors(trainer)
        try:
            if in_background and self.asynchronous and _network(trainer).device.type == "cuda":
                future = async_save(
                    state,
                    checkpoint_id=partial,
                    process_group=self._group,
                    no_dist=not _distributed(),
                )
                self._pending = (cast("Future[Any]", future), partial, final)
                return
            with _one_process_is_meant():
                save(state, checkpoint_id=partial, no_dist=not _distributed())
        except Exception as failure:
            self._give_up(trainer, partial, failure)
        self._finish(trainer, partial, final)

    def _write_small_files(
        self, trainer: L.Trainer, final: Path, partial: Path
    ) -> OSError | RuntimeError | None:
        """What is no sharded tensor; an error is returned, for all processes to agree on it."""
        error: OSError | RuntimeError | None = None
        try:
            if trainer.is_global_zero:
                files.begin(final)
                torch.save(_progress(trainer), partial / PROGRESS_FILE)
        except (OSError, RuntimeError) as failure:
            error = failure
        trainer.strategy.barrier("checkpoint folder")
        try:
            torch.save(random_state(), partial / f"random-{trainer.global_rank}.pt")
        except (OSError, RuntimeError) as failure:
            error = error or failure
        return error

    def _settle(self, trainer: L.Trainer) -> None:
        """Waits for the checkpoint that is being written, if there is one."""
        if self._pending is None:
            return
        future, partial, final = self._pending
        self._pending = None
        try:
            future.result()
        except Exception as failure:
            self._give_up(trainer, partial, failure)
        self._finish(trainer, partial, final)

    def _finish(self, trainer: L.Trainer, partial: Path, final: Path) -> None:
        error: OSError | None = None
        if trainer.is_global_zero:
            try:
                files.finish(partial, final)
                files.prune(self.dirpath, self.keep)
            except OSError as failure:
                error = failure
        if not trainer.strategy.reduce_boolean_decision(error is None, all=True):
            self._give_up(trainer, partial, error)

    def _give_up(self, trainer: L.Trainer, partial: Path, error: Exception | None) -> None:
        last = None
        if trainer.is_global_zero:
            files.abandon(partial)
            last = files.newest(self.dirpath)
        raise InputError(
            f"{partial.stem}: the checkpoint cannot be written to {self.dirpath} "
            f"({type(error).__name__}: {error}). The last good one is {last}: make room, and run "
            "the same command again to go on from it"
        ) from error

    def _end(self, trainer: L.Trainer) -> None:
        number = self._signals.received or 15
        trainer.strategy.barrier("end")
        if trainer.is_global_zero:
            _log.warning(
                "signal %d: saved step %d; the same command goes on from there",
                number,
                trainer.global_step,
            )
            # Nobody waits for this process any more: Slurm may refuse.
            requeue()
        raise SystemExit(128 + number)


def _network(trainer: L.Trainer) -> Any:
    return cast(Any, trainer.lightning_module).network


def _data(trainer: L.Trainer) -> Any:
    return trainer.datamodule  # type: ignore[attr-defined]


def _distributed() -> bool:
    return dist.is_available() and dist.is_initialized()


@contextmanager
def _one_process_is_meant() -> Iterator[None]:
    """Silences torch's question whether a single process was the intent."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        yield


def _tensors(trainer: L.Trainer) -> dict[str, Any]:
    """Trained parameters and optimizer state by parameter name, as shards of this process.

    Nothing but tensors: torch's distributed checkpoint would pickle everything else.
    """
    return {
        "model": get_model_state_dict(_network(trainer), options=_OPTIONS),
        "optimizer": _optimizer_state(trainer)["state"],
    }


def _optimizer_state(trainer: L.Trainer) -> dict[str, Any]:
    (optimizer,) = trainer.optimizers
    _complete(optimizer)
    return cast(
        dict[str, Any],
        get_optimizer_state_dict(_network(trainer), optimizer, options=_OPTIONS),
    )


def _complete(optimizer: torch.optim.Optimizer) -> None:
    """Gives parameters that never had a gradient the state that the others began with.

    Blocks behind the layer that a trained tower is read at are such. A run that goes on expects a
    state of every trained parameter.
    """
    begun = [(p, state) for p, state in optimizer.state.items() if state]
    for group in optimizer.param_groups if begun else ():
        for parameter in group["params"]:
            if not optimizer.state.get(parameter):
                like, state = begun[0]
                optimizer.state[parameter] = {
                    name: torch.zeros_like(parameter if value.shape == like.shape else value)
                    for name, value in state.items()
                }


def _restore_schedule(schedule: Any, saved: dict[str, Any]) -> None:
    """Goes on at the saved step with the peak rates of this run, which are told if they differ."""
    rates = schedule.base_lrs
    if saved["base_lrs"] != rates:
        _log.warning("peak rates are %s, were %s before the checkpoint", rates, saved["base_lrs"])
    schedule.load_state_dict(saved | {"base_lrs": rates})
    groups = schedule.optimizer.param_groups
    for group, factor, rate in zip(groups, schedule.lr_lambdas, rates, strict=True):
        group["lr"] = factor(schedule.last_epoch) * rate


def _progress(trainer: L.Trainer) -> dict[str, Any]:
    callbacks = cast(list[Callback], trainer.callbacks)  # type: ignore[attr-defined]
    return {
        "facts": _facts(trainer),
        "world_size": trainer.world_size,
        "run_id": next((str(one.run_id) for one in trainer.loggers if hasattr(one, "run_id")), ""),
        "data": _data(trainer).state_dict(),
        "loops": trainer.fit_loop.state_dict(),
        "schedules": [config.scheduler.state_dict() for config in trainer.lr_scheduler_configs],
        "callbacks": {c.state_key: saved for c in callbacks if (saved := c.state_dict())},
    }


def _facts(trainer: L.Trainer) -> dict[str, str]:
    """What a run that goes on must have in common with the one that was saved."""
    stage: Any = trainer.lightning_module
    facts: dict[str, str] = stage.resume_facts()
    # Used samples are counted: another order would repeat some and leave others out.
    return facts | {
        name: str(getattr(_data(trainer), name, "")) for name in ("data_hash", "order_hash")
    }


def _check_same_run(folder: Path, saved: dict[str, str], now: dict[str, str]) -> None:
    different = [
        f"{name} {saved.get(name)!r}, now {now.get(name)!r}"
        for name in sorted(saved.keys() | now.keys())
        if saved.get(name) != now.get(name)
    ]
    if different:
        raise InputError(
            f"{folder} is a checkpoint of another run: it has {'; '.join(different)}. Give this "
            "run a dirpath of its own, or the settings of the run that is to go on (order_hash: "
            "records, uses, validation_fraction, max_length, packing, source_weights and seed)"
        )
