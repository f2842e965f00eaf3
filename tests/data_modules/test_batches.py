"""Loaders, as the process that they feed wants them."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from data_modules.batches import BatchMaker
from data_modules.steps import Progress


@pytest.mark.parametrize(("device", "pinned"), [("cuda:1", True), ("cpu", False), (None, False)])
def test_batches_are_pinned_for_gpus_only(device: str | None, pinned: bool) -> None:
    trainer: Any = device and SimpleNamespace(
        strategy=SimpleNamespace(root_device=torch.device(device)), global_rank=1, world_size=2
    )
    samples: Any = SimpleNamespace(splits={"test": []})
    processor: Any = SimpleNamespace(collate=list)
    maker = BatchMaker(
        samples=samples,
        roots={},
        processor=processor,
        prepared=None,
        packing=None,
        weights={},
        seed=0,
        batch_size=2,
        num_workers=0,
        trainer=trainer,
        start=Progress(),
    )
    assert maker.prompts("test").pin_memory is pinned
    assert maker.in_order("test").pin_memory is pinned
