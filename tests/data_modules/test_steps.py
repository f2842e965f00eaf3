"""How samples, devices and accumulation make an optimizer step, and how a data module goes on."""

from types import SimpleNamespace
from typing import Any

import pytest

from data_modules import SemiHVisionDataModule
from data_modules.steps import plan_step
from semihvision.core.errors import InputError


def attached(world_size: int, accumulate: int = 1, **settings: Any) -> SemiHVisionDataModule:
    """A data module with a trainer of that many processes."""
    data = SemiHVisionDataModule([], {}, **settings)
    progress = SimpleNamespace(current=SimpleNamespace(ready=3))
    data.trainer = SimpleNamespace(  # type: ignore[assignment]
        world_size=world_size,
        accumulate_grad_batches=accumulate,
        current_epoch=2,
        num_training_batches=10,
        fit_loop=SimpleNamespace(epoch_loop=SimpleNamespace(batch_progress=progress)),
    )
    return data


@pytest.mark.parametrize(
    ("world_size", "batch_size", "expected"),
    [(1, 8, (8, 48)), (8, 8, (8, 6)), (16, 8, (8, 3)), (64, 8, (6, 1)), (8, 5, (4, 12))],
)
def test_a_global_batch_is_the_same_on_any_number_of_devices(
    world_size: int, batch_size: int, expected: tuple[int, int]
) -> None:
    plan = plan_step(384, batch_size=batch_size, world_size=world_size)
    assert plan == expected
    assert plan.batch_size * plan.num_batches * world_size == 384


@pytest.mark.parametrize(("world_size", "total"), [(7, 384), (8, 4)])
def test_a_global_batch_that_cannot_be_divided_is_refused(world_size: int, total: int) -> None:
    with pytest.raises(InputError, match=f"cannot be divided by {world_size} devices"):
        plan_step(total, batch_size=8, world_size=world_size)


def test_two_ways_to_accumulate_are_refused() -> None:
    with pytest.raises(InputError, match="both given"):
        plan_step(8, batch_size=8, world_size=2, num_batches=4)


def test_used_samples_are_those_of_all_devices_and_go_on_with_others() -> None:
    state = attached(4, batch_size=2).state_dict()
    assert state == {"epoch": 2, "used": 24}
    other = attached(2, batch_size=2, accumulate=2)
    other.load_state_dict(state)
    assert other.batches_used == 6
    with pytest.raises(InputError, match="no multiple of this run's 10 a step"):
        attached(5, batch_size=2).load_state_dict(state)


def test_a_finished_epoch_is_followed_by_the_next() -> None:
    data = attached(1, batch_size=2)
    data.trainer.num_training_batches = 3  # type: ignore[union-attr, misc]
    assert data.state_dict() == {"epoch": 3, "used": 0}


def test_negative_weights_are_refused() -> None:
    with pytest.raises(InputError, match="expected no negative one"):
        SemiHVisionDataModule([], {}, source_weights={"vqa_rad": -1.0})
