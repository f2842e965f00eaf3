"""Estimated bytes and work against real tensors, shards and batches."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import pytest
import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor
from torch.testing._internal.distributed.fake_pg import FakeStore

from data_modules import VQARADDataModule
from data_modules.packing import Packing
from models import ConnectorAlignment, InstructionTuning
from models.batch_work import BatchWork, batch_work
from models.lora import LoRASettings
from models.presets import preset
from models.sharding import shard, units
from models.stages.building import ModelPlan, build, meta_model
from semihvision.core.errors import InputError
from semihvision.training.activations import BatchShape
from semihvision.training.epoch_plan import from_data
from semihvision.training.estimate import EpochPlan, changes_that_fit, divide, fits, run_time
from semihvision.training.memory import (
    Layout,
    gathered_bytes,
    memory_bytes,
    shard_bytes,
    state_bytes,
)

PLANS = {
    "stage 1": ModelPlan(config=preset("tiny"), folder=None, parts=ConnectorAlignment.parts),
    "stage 2": ModelPlan(config=preset("tiny"), folder=None, parts=InstructionTuning.parts),
    "towers": ModelPlan(
        config=preset("tiny"), folder=None, parts=("towers", *InstructionTuning.parts)
    ),
    "lora": ModelPlan(
        config=preset("tiny"),
        folder=None,
        parts=InstructionTuning.parts,
        lora=LoRASettings(rank=3),
    ),
}


@pytest.mark.parametrize("name", ["stage 1", "towers", "lora"])
def test_state_of_one_process_is_that_of_its_tensors(name: str) -> None:
    plan = PLANS[name]
    model = build(plan).model
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained)
    for parameter in trained:
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    moments = [value for state in optimizer.state.values() for value in state.values()]
    found = state_bytes(meta_model(plan), 1)
    assert found.parameters == sum(p.nbytes for p in model.parameters())
    assert found.buffers == sum(b.nbytes for b in model.buffers())
    assert found.gradients == sum(p.grad.nbytes for p in trained if p.grad is not None)
    assert found.optimizer == sum(value.nbytes for value in moments)


@pytest.fixture
def fake_processes() -> Iterator[None]:
    yield
    dist.destroy_process_group()


@pytest.mark.filterwarnings("ignore:FSDP2-wrapped module:UserWarning")
@pytest.mark.parametrize(("name", "ranks"), [("stage 1", 2), ("towers", 3), ("lora", 8)])
def test_state_of_the_first_process_is_that_of_its_shards(
    name: str, ranks: int, fake_processes: None
) -> None:
    plan = PLANS[name]
    dist.init_process_group("fake", rank=0, world_size=ranks, store=FakeStore())
    model = meta_model(plan)
    whole = meta_model(plan)
    shard(model, init_device_mesh("cpu", (ranks,)))
    parameters = list(model.parameters())
    assert all(isinstance(p, DTensor) for p in parameters)
    local: Any = [p.to_local() for p in cast(list[Any], parameters)]
    trained = [x for x, p in zip(local, parameters, strict=True) if p.requires_grad]
    found = state_bytes(whole, ranks)
    assert found.parameters == sum(x.nbytes for x in local)
    assert found.gradients == sum(x.nbytes for x in trained)
    assert found.optimizer == 2 * found.gradients + 4 * len(trained)
    # No other process holds more.
    rows = [p.shape[0] for p in whole.parameters()]
    assert all(-(-n // ranks) == x.shape[0] for n, x in zip(rows, local, strict=True))


def test_a_shard_is_rounded_up() -> None:
    parameter = torch.nn.Parameter(torch.zeros(5, 3))
    assert [shard_bytes(parameter, n) for n in (1, 2, 4, 8)] == [60, 36, 24, 12]


def test_gathered_units_are_the_root_two_neighbours_and_one_units_gradients() -> None:
    model = meta_model(PLANS["stage 1"])
    sizes, seen = [], set[int]()
    for unit in units(model):
        own = {id(p): p for m in unit for p in m.parameters() if id(p) not in seen}
        seen |= own.keys()
        sizes.append(own.values())
    numbers = [sum(p.numel() for p in own) for own in sizes]
    trained = [sum(p.numel() for p in own if p.requires_grad) for own in sizes]
    *others, root = numbers
    neighbours = max(a + b for a, b in pairwise(others))
    assert gathered_bytes(model, None) == 4 * (root + neighbours) + 8 * max(trained)
    assert gathered_bytes(model, torch.bfloat16) == 2 * (root + neighbours) + 6 * max(trained)


def test_memory_grows_with_the_batch_and_falls_with_ranks_and_checkpointing() -> None:
    plan, batch = PLANS["stage 2"], BatchShape(positions=2000, scored_tokens=500, images=6)
    base = memory_bytes(plan, Layout(compute_dtype=torch.bfloat16), batch)
    assert base.gathered == 0
    more = BatchShape(positions=4000, scored_tokens=500, images=12)
    assert memory_bytes(plan, Layout(compute_dtype=torch.bfloat16), more).activations > (
        1.9 * base.activations
    )
    saving = Layout(
        ranks=2,
        compute_dtype=torch.bfloat16,
        activation_checkpointing="full",
        loss="chunked",
        cpu_offload=True,
    )
    two = memory_bytes(plan, saving, batch)
    assert two.activations < base.activations
    assert two.loss < base.loss
    # Copies are left of norms only, which compute in float32.
    assert two.weight_copies < 0.1 * base.weight_copies
    assert two.gathered > 0
    assert two.parameters + two.optimizer < 0.6 * (base.parameters + base.optimizer)
    assert two.host == two.parameters + two.gradients + two.optimizer
    with pytest.raises(InputError, match="at most as many GPUs as units"):
        memory_bytes(plan, Layout(ranks=1000), batch)


@pytest.mark.filterwarnings("ignore:.*does not have many workers:UserWarning")
@pytest.mark.parametrize("packing", [None, Packing(tokens=300, images=3)])
def test_an_epoch_asks_for_what_its_batches_ask_for(twin: Path, packing: Packing | None) -> None:
    stage = InstructionTuning(max_length=256)
    data = VQARADDataModule(
        root=str(twin), processor=stage.processor, batch_size=2, packing=packing, seed=1
    )
    plan = from_data(data, items_per_batch=2, batches_per_step=3)
    batches = [batch_work(batch, stage.processor.config) for batch in data.train_dataloader()]
    total = sum(batches, BatchWork())
    assert (plan.work.tokens, plan.work.pairs, plan.work.images) == (
        total.tokens,
        total.pairs,
        total.images,
    )
    # All text is taken to be trained.
    assert total.scored_tokens <= plan.work.scored_tokens <= total.tokens
    assert plan.steps(1) == -(-len(batches) // 3)
    assert plan.largest.positions >= max(work.positions for work in batches)
    assert plan.largest.images >= max(work.images for work in batches)


def test_steps_are_divided_as_the_data_module_divides_them() -> None:
    assert divide(0, 8, 6, 4) == (8, 6)
    assert divide(96, 8, 1, 4) == (8, 3)
    assert divide(96, 5, 1, 4) == (4, 6)
    with pytest.raises(InputError, match="cannot be divided by 5 GPUs"):
        divide(96, 8, 1, 5)


def test_time_and_energy_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    from semihvision.training import estimate

    monkeypatch.setattr(estimate, "epoch_flops", lambda *_: 989.4e12 * 3600)
    epoch = EpochPlan(
        work=BatchWork(1000, 0, 0, 10, 1000),
        items=64,
        items_per_batch=2,
        batches_per_step=2,
        largest=BatchShape(1, 1, 1),
    )
    arguments: dict[str, Any] = {"epochs": 2, "gpu": "h100", "gpus": 4, "mfu": 0.5}
    time = run_time(PLANS["lora"], epoch, max_steps=-1, **arguments)
    assert (time.steps, time.tokens, time.images) == (8, 2000, 20)
    assert time.hours == pytest.approx(1)
    assert time.gpu_hours == pytest.approx(4)
    assert time.energy_kwh == pytest.approx(2.8)
    half = run_time(PLANS["lora"], epoch, max_steps=4, **arguments)
    assert (half.steps, half.epochs, half.tokens) == (4, 1, 1000)


def test_a_run_that_does_not_fit_is_told_what_would() -> None:
    plan, layout = PLANS["stage 2"], Layout(compute_dtype=torch.bfloat16)
    batch = BatchShape(positions=10_000_000, scored_tokens=1_000_000, images=0)
    assert not fits(memory_bytes(plan, layout, batch), "a100")
    changes = changes_that_fit(plan, layout, batch, items=16, gpu="a100")
    assert changes
    assert all(fits(change.memory, "a100") for change in changes)
    assert "batch_size: 1" in [change.text for change in changes]
