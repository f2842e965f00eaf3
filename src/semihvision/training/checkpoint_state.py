"""What a checkpoint holds of a run, and how it is put back.

Trained parameters and optimizer state are sharded tensors. Everything else (loops, schedules, used
samples, random generators) is small and of plain values: `StepState`, taken when a step has ended.
Until the next step ends, tensors and `StepState` belong together, so a run can be saved in between.
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
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
from torch.distributed.tensor import DTensor

from semihvision.training.random_state import random_state, restore_random_state, seed_anew

_log = logging.getLogger(__name__)

PROGRESS_FILE = "progress.pt"
"""Plain values that are the same for all processes."""

# Frozen parameters are not in a checkpoint, and nothing else may be missing: `load` is strict.
_OPTIONS = StateDictOptions(ignore_frozen_params=True, strict=False)


@dataclass(frozen=True)
class StepState:
    """What a step has left behind that no sharded tensor holds.

    Attributes:
        step: Optimizer steps so far.
        progress: Content of `PROGRESS_FILE`; empty in all processes but the first.
        random: State of this process's random generators.
    """

    step: int
    progress: dict[str, Any]
    random: dict[str, Any]


def step_state(trainer: L.Trainer, facts: dict[str, dict[str, str]]) -> StepState:
    """To be taken in the hook that ends a step's last batch.

    Args:
        trainer: Of the run.
        facts: What a run that goes on must have in common with this one.
    """
    callbacks = cast(list[Callback], trainer.callbacks)  # type: ignore[attr-defined]
    progress = {
        **facts,
        "world_size": trainer.world_size,
        "run_id": next((str(one.run_id) for one in trainer.loggers if hasattr(one, "run_id")), ""),
        "data": _data(trainer).state_dict(),
        "loops": trainer.fit_loop.state_dict(),
        "schedules": [config.scheduler.state_dict() for config in trainer.lr_scheduler_configs],
        "callbacks": {c.state_key: saved for c in callbacks if (saved := c.state_dict())},
    }
    return StepState(
        trainer.global_step, progress if trainer.is_global_zero else {}, random_state()
    )


def random_file(folder: Path, rank: int) -> Path:
    """Where a process's random generators are kept."""
    return folder / f"random-{rank}.pt"


def distributed() -> bool:
    """Whether there are processes to talk to."""
    return dist.is_available() and dist.is_initialized()


@contextmanager
def one_process_is_meant() -> Iterator[None]:
    """Silences torch's question whether a single process was the intent."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        yield


def tensors(trainer: L.Trainer) -> dict[str, Any]:
    """Trained parameters and optimizer state by parameter name, as shards of this process.

    Nothing but tensors: torch's distributed checkpoint would pickle everything else.
    """
    return {
        "model": get_model_state_dict(_network(trainer), options=_OPTIONS),
        "optimizer": _optimizer_state(trainer)["state"],
    }


def all_finite(state: dict[str, Any]) -> bool:
    """Whether this process's shards hold neither NaN nor infinity.

    Loss and gradients of a step can be finite, and what comes of it not.

    Args:
        state: Of `tensors`.
    """
    found = [*state["model"].values()]
    found += [value for values in state["optimizer"].values() for value in values.values()]
    local = [t.to_local() if isinstance(t, DTensor) else t for t in found]
    return all(bool(tensor.isfinite().all()) for tensor in local)


def restore(trainer: L.Trainer, folder: Path, progress: dict[str, Any]) -> None:
    """Loads weights, optimizer, schedules, callbacks and loops, once they are built.

    Args:
        trainer: Of the run that goes on.
        folder: Checkpoint.
        progress: Its `PROGRESS_FILE`.
    """
    state = tensors(trainer)
    with one_process_is_meant():
        load(state, checkpoint_id=folder, no_dist=not distributed())
    network, (optimizer,) = _network(trainer), trainer.optimizers
    set_model_state_dict(network, state["model"], options=_OPTIONS)
    # Rates, decay and betas are those of this run's settings, which may have changed.
    whole = {**_optimizer_state(trainer), "state": state["optimizer"]}
    set_optimizer_state_dict(network, optimizer, whole, options=_OPTIONS)
    for config, saved in zip(trainer.lr_scheduler_configs, progress["schedules"], strict=True):
        _restore_schedule(config.scheduler, saved)
    for callback in cast(list[Callback], trainer.callbacks):  # type: ignore[attr-defined]
        if callback.state_key in progress["callbacks"]:
            callback.load_state_dict(progress["callbacks"][callback.state_key])
    _restore_loops(trainer, progress)


def restore_random(trainer: L.Trainer, folder: Path, progress: dict[str, Any]) -> None:
    """Sets the random generators as they were, or anew with another number of processes."""
    if progress["world_size"] == trainer.world_size:
        file = random_file(folder, trainer.global_rank)
        restore_random_state(torch.load(file, weights_only=True))
    else:
        seed_anew(trainer.global_step, trainer.global_rank)


def _network(trainer: L.Trainer) -> Any:
    return cast(Any, trainer.lightning_module).network


def _data(trainer: L.Trainer) -> Any:
    return trainer.datamodule  # type: ignore[attr-defined]


def _optimizer_state(trainer: L.Trainer) -> dict[str, Any]:
    (optimizer,) = trainer.optimizers
    return cast(
        dict[str, Any],
        get_optimizer_state_dict(_network(trainer), optimizer, options=_OPTIONS),
    )


def _restore_schedule(schedule: Any, saved: dict[str, Any]) -> None:
    """Goes on at the saved step with the peak rates of this run, which are told if they differ."""
    rates = schedule.base_lrs
    if saved["base_lrs"] != rates:
        _log.warning("peak rates are %s, were %s before the checkpoint", rates, saved["base_lrs"])
    schedule.load_state_dict(saved | {"base_lrs": rates})
    groups = schedule.optimizer.param_groups
    for group, factor, rate in zip(groups, schedule.lr_lambdas, rates, strict=True):
        group["lr"] = factor(schedule.last_epoch) * rate


def _restore_loops(trainer: L.Trainer, progress: dict[str, Any]) -> None:
    """Loop counters; batches are counted anew where the number of processes has changed."""
    loop = trainer.fit_loop
    loop.load_state_dict(progress["loops"])
    loop.setup_data()
    epoch_is_over = progress["data"]["used"] == 0
    done = int(loop.max_batches) if epoch_is_over else _data(trainer).batches_used
    batches: Any = loop.epoch_loop.batch_progress
    batches.total.ready += done - batches.current.ready
    batches.current.ready = done
    for count in (batches.current, batches.total):
        # The state was taken in the hook that ends a batch: it is not completed yet.
        count.started = count.processed = count.ready
        count.completed = count.ready - 1
