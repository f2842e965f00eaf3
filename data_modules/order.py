"""The order of training samples: a pure function of seed and epoch, cut into batches for a process.

So nothing has to be remembered to go on in the middle of an epoch but how many items were used, and
that holds for another number of processes, too.
"""

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence

import torch
from torch.utils.data import Sampler

Order = Callable[[int], Sequence[int]]
"""Epoch -> item numbers in the order of their use."""


def filler(item: int) -> int:
    """Number that asks for an item of which nothing is trained."""
    return -1 - item


def fixed_order(num_items: int) -> Order:
    """Every epoch the same."""
    return lambda _epoch: range(num_items)


def shuffled_order(weights: Sequence[float], *, seed: int) -> Order:
    """A new order every epoch.

    Args:
        weights: Of each item, how often an epoch shows it; 1 for once. Of a fraction f the items
            with the same weight are shown by f more in an epoch, others in the next.
        seed: Of the order.
    """
    whole = torch.tensor([int(weight) for weight in weights])
    part = torch.tensor(weights, dtype=torch.float64) - whole

    def order(epoch: int) -> list[int]:
        generator = torch.Generator().manual_seed(_number(f"{seed}/{epoch}"))
        extra = _spread(part, generator)
        items = torch.arange(len(whole)).repeat_interleave(whole + extra)
        shuffled: list[int] = items[torch.randperm(len(items), generator=generator)].tolist()
        return shuffled

    return order


def _spread(part: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """0 or 1 per item: of the items with the same fraction, as many ones as it says, drawn anew."""
    extra = torch.zeros(len(part), dtype=torch.int64)
    for fraction in sorted(set(part.tolist())):
        members = (part == fraction).nonzero().flatten()
        count = round(fraction * len(members))
        chosen = members[torch.randperm(len(members), generator=generator)[:count]]
        extra[chosen] = 1
    return extra


class ShardedBatches(Sampler[list[int]]):
    """Batches of one process out of the order that all processes share.

    All processes get the same number of batches. Where the last items do not go round, a process
    without an item gets a filler.

    Args:
        order: Of the items.
        batch_size: Most items per process and batch.
        rank: Number of this process.
        world_size: Number of processes.
    """

    def __init__(
        self, order: Order, *, batch_size: int, rank: int = 0, world_size: int = 1
    ) -> None:
        self._order = order
        self._batch_size = batch_size
        self._rank = rank
        self._world_size = world_size
        self._epoch = 0
        self._used = 0
        # Epochs differ in order, not in length.
        self._num_items = len(order(0))

    @property
    def sampler(self) -> "ShardedBatches":
        """Itself: Lightning tells epochs to a loader's ``batch_sampler.sampler`` only."""
        return self

    @property
    def items_per_batch(self) -> int:
        """Items that all processes together use in a batch."""
        return self._batch_size * self._world_size

    def __len__(self) -> int:
        """Batches of an epoch, those before the start included."""
        return math.ceil(self._num_items / self.items_per_batch)

    def start_at(self, *, epoch: int, used: int) -> None:
        """Goes on in the middle of an epoch.

        Args:
            epoch: Which one.
            used: Items of it that all processes together have used.
        """
        self._epoch, self._used = epoch, used

    def set_epoch(self, epoch: int) -> None:
        """Begins another epoch; the one that is under way goes on."""
        if epoch != self._epoch:
            self._epoch, self._used = epoch, 0

    def __iter__(self) -> Iterator[list[int]]:
        items = self._order(self._epoch)
        for start in range(self._used, len(items), self.items_per_batch):
            batch = list(items[start : start + self.items_per_batch])
            own = batch[self._rank :: self._world_size]
            yield own or [filler(batch[0])]


def _number(text: str) -> int:
    """A 63-bit number that depends on the text alone."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) >> 1
