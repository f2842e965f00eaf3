"""Planning steps: how samples, devices and accumulation make one, and how far a run has come."""

from typing import Any, NamedTuple

import lightning as L

from semihvision.core.errors import InputError


class StepPlan(NamedTuple):
    """How a process works off its share of an optimizer step.

    Attributes:
        batch_size: Samples (rows, where they are packed) of a batch.
        num_batches: Batches of a step.
    """

    batch_size: int
    num_batches: int


def plan_step(total: int, *, batch_size: int, world_size: int, num_batches: int = 1) -> StepPlan:
    """Divides the samples of an optimizer step into processes and batches of equal size.

    Args:
        total: Samples of a step on all devices together.
        batch_size: Most samples of a batch.
        world_size: Processes, one a device.
        num_batches: Batches of a step that are asked for; other than 1 says it a second time.

    Raises:
        InputError: The devices cannot get equal shares, or a step is given twice.
    """
    own, rest = divmod(total, world_size)
    if rest or not own:
        raise InputError(
            f"global_batch_size {total} cannot be divided by {world_size} devices; change one of "
            "them"
        )
    if num_batches != 1:
        raise InputError(
            "global_batch_size and trainer.accumulate_grad_batches are both given; expected one"
        )
    chosen = max(n for n in range(1, batch_size + 1) if own % n == 0)
    return StepPlan(chosen, own // chosen)


class Progress(NamedTuple):
    """How far the training data are used.

    Attributes:
        epoch: The epoch that is under way, from 0.
        used: Samples of it that all devices together have used.
    """

    epoch: int = 0
    used: int = 0


def progress_of(trainer: L.Trainer, *, batch_size: int) -> Progress:
    """How far a trainer is; to be asked for when a batch has ended."""
    done = trainer.fit_loop.epoch_loop.batch_progress.current.ready
    if done >= trainer.num_training_batches:
        return Progress(trainer.current_epoch + 1)
    return Progress(trainer.current_epoch, done * batch_size * trainer.world_size)


def resumed(state: dict[str, Any], *, samples_per_step: int | None) -> Progress:
    """The progress that a checkpoint holds, for a run whose steps have that many samples.

    Args:
        state: `Progress._asdict()` of the run that is resumed.
        samples_per_step: On all devices together; None where there are no steps.

    Raises:
        InputError: The used samples are no whole number of this run's optimizer steps.
    """
    progress = Progress(**state)
    if samples_per_step and progress.used % samples_per_step:
        raise InputError(
            f"the checkpoint has used {progress.used} samples of its epoch, which is no multiple "
            f"of this run's {samples_per_step} a step; set global_batch_size to that of the run "
            "that is resumed"
        )
    return progress
