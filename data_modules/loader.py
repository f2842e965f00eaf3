"""The loader that data modules make: it tells how long it was waited for."""

import time
from collections.abc import Iterator
from typing import Any

from torch.utils.data import DataLoader


class Loader(DataLoader[Any]):
    """A loader that Lightning may go on with: what it must know is the data module's state.

    Attributes:
        waited_s: Seconds that whoever iterates has waited for batches so far.
    """

    waited_s = 0.0

    def __iter__(self) -> Any:
        """Batches; workers start at once, not at the first batch."""
        return self._timed(super().__iter__())

    def _timed(self, batches: Iterator[Any]) -> Iterator[Any]:
        end = object()
        while True:
            began = time.perf_counter()
            batch = next(batches, end)
            self.waited_s += time.perf_counter() - began
            if batch is end:
                return
            yield batch

    def state_dict(self) -> dict[str, Any]:
        """Nothing: see `RecordDataModule.state_dict`."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Nothing: the data module made this loader for the samples that are left."""
