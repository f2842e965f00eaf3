"""The order of samples: a function of seed and epoch, the same for any number of processes."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_modules.order import ShardedBatches, fixed_order, shuffled_order

counts = st.integers(1, 60)


def taken(num_items: int, batch_size: int, world_size: int, epoch: int, used: int = 0) -> list[int]:
    """Items of all processes, batch by batch, fillers left out."""
    processes = []
    for rank in range(world_size):
        order = shuffled_order([1.0] * num_items, seed=3)
        batches = ShardedBatches(order, batch_size=batch_size, rank=rank, world_size=world_size)
        batches.start_at(epoch=epoch, used=used)
        processes.append(list(batches))
    assert len({len(batches) for batches in processes}) == 1
    assert all(batch for batches in processes for batch in batches)
    together = zip(*processes, strict=True)
    return [item for step in together for item in sorted(i for own in step for i in own if i >= 0)]


@given(num_items=counts, batch_size=st.integers(1, 7), world_size=st.integers(1, 5))
def test_an_epoch_shows_every_item_once_on_any_number_of_processes(
    num_items: int, batch_size: int, world_size: int
) -> None:
    assert sorted(taken(num_items, batch_size, world_size, 0)) == list(range(num_items))


@given(num_items=counts, own=st.integers(1, 4), epoch=st.integers(0, 3))
def test_the_steps_are_the_same_on_any_number_of_processes(
    num_items: int, own: int, epoch: int
) -> None:
    assert taken(num_items, own * 4, 1, epoch) == taken(num_items, own, 4, epoch)
    assert taken(num_items, own * 4, 1, epoch) == taken(num_items, own * 2, 2, epoch)


@given(num_items=counts, steps=st.integers(0, 9))
def test_going_on_takes_up_where_it_was_left(num_items: int, steps: int) -> None:
    whole, used = taken(num_items, 4, 2, 1), min(steps * 8, num_items)
    assert taken(num_items, 4, 2, 1, used) == whole[used:]


def test_epochs_differ_and_a_seed_repeats() -> None:
    order = shuffled_order([1.0] * 50, seed=1)
    assert order(0) != order(1)
    assert list(order(1)) == list(shuffled_order([1.0] * 50, seed=1)(1))
    assert order(0) != shuffled_order([1.0] * 50, seed=2)(0)
    assert list(fixed_order(3)(5)) == [0, 1, 2]


def test_weights_are_kept_exactly_over_epochs() -> None:
    order = shuffled_order([0.5] * 40 + [2.0] * 10 + [1.25] * 8 + [0.0] * 5, seed=0)
    for epoch in range(3):
        seen = Counter(order(epoch))
        assert sum(seen[i] for i in range(40)) == 20
        assert all(seen[i] == 2 for i in range(40, 50))
        assert sum(seen[i] for i in range(50, 58)) == 10
        assert not any(seen[i] for i in range(58, 63))
    halves = [{i for i in order(epoch) if i < 40} for epoch in range(2)]
    assert halves[0] != halves[1]


def test_an_epoch_under_way_goes_on_and_the_next_begins_anew() -> None:
    batches = ShardedBatches(fixed_order(10), batch_size=2)
    batches.start_at(epoch=2, used=6)
    batches.set_epoch(2)
    assert list(batches) == [[6, 7], [8, 9]]
    assert len(batches) == 5
    batches.set_epoch(3)
    assert len(list(batches)) == 5
    assert batches.sampler is batches


@pytest.mark.parametrize("rank", [0, 1, 2])
def test_a_process_without_an_item_gets_one_that_is_not_trained(rank: int) -> None:
    batches = ShardedBatches(fixed_order(7), batch_size=2, rank=rank, world_size=3)
    assert list(batches)[-1] == ([6] if rank == 0 else [-7])
