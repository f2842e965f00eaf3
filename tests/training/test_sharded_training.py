"""Training on several processes is training on one, with less memory on each."""

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from memory_samples import MemorySamples
from torch.distributed.tensor import DTensor
from training_runs import Losses, fit, read_losses, run_forked, twin_of_vqa_rad

from models import ConnectorAlignment, InstructionTuning, PMCCambrian
from models.lora import LoRASettings
from models.sharding import units
from models.stages import Stage
from semihvision.training import ModelFolder, ResumableCheckpoint

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers:UserWarning",
    "ignore:Found .* module.s. in eval mode:UserWarning",
    "ignore:You defined a `validation_step`:UserWarning",
    "ignore:Total length of:UserWarning",
    # The samplers' hook returns a view; nothing writes into it.
    "ignore:FSDP2-wrapped module:UserWarning",
)


def local_bytes(tensors: list[torch.Tensor]) -> int:
    return sum((t.to_local() if isinstance(t, DTensor) else t).nbytes for t in tensors)


def run(
    twin: Path,
    folder: Path,
    *,
    steps: int,
    make: Callable[[], Stage] = lambda: InstructionTuning(max_length=256, learning_rate=1e-3),
    losses: str = "losses.jsonl",
    every: int = 1000,
    stop_after: int = 0,
    **trainer: Any,
) -> Callable[[], dict[str, int]]:
    """A run that tells the bytes of parameters and optimizer state in this process."""

    def task() -> dict[str, int]:
        torch.manual_seed(7)
        stage = make()
        settings = {"global_batch_size": 8, "batch_size": 4, "cache_images": True}
        done = fit(
            stage,
            twin_of_vqa_rad(twin, stage, **settings),
            folder=folder,
            max_steps=steps,
            gradient_clip_val=1.0,
            callbacks=[
                ResumableCheckpoint(str(folder / "checkpoints"), every_n_steps=every),
                ModelFolder(str(folder / "model")),
                Losses(folder / losses, signal_after=stop_after, number=signal.SIGTERM),
            ],
            **trainer,
        )
        (optimizer,) = done.optimizers
        state = [t for values in optimizer.state.values() for t in values.values()]
        parameters = list(stage.network.parameters())
        return {"parameters": local_bytes(parameters), "optimizer": local_bytes(state)}

    return task


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return dict(PMCCambrian.from_pretrained(folder / "model").state_dict())


def compare(one: Path, several: Path, *, names: tuple[str, ...] = ("losses.jsonl",)) -> None:
    expected = read_losses(one / "losses.jsonl")
    found = {step: loss for name in names for step, loss in read_losses(several / name).items()}
    assert found == pytest.approx(expected, abs=1e-5)
    ours = weights(several)
    for name, value in weights(one).items():
        torch.testing.assert_close(ours[name], value, rtol=0, atol=2e-4, msg=name)


def test_two_processes_train_as_one_with_half_the_memory(twin: Path, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    (whole,) = run_forked(run(twin, one, steps=3))
    shards = run_forked(run(twin, two, steps=3), 2)
    compare(one, two)
    for shard in shards:
        assert shard["parameters"] < 0.6 * whole["parameters"]
        assert shard["optimizer"] < 0.6 * whole["optimizer"]


STAGES: dict[str, Callable[[], Stage]] = {
    "stage 1": lambda: ConnectorAlignment(max_length=256, learning_rate=1e-3),
    "everything": lambda: InstructionTuning(
        max_length=256,
        train_parts=["towers", "projectors", "query", "connector", "samplers", "language_model"],
        learning_rate=1e-3,
    ),
    "lora": lambda: InstructionTuning(
        max_length=256, learning_rate=1e-3, lora=LoRASettings(rank=4, alpha=8.0)
    ),
    "full checkpointing": lambda: InstructionTuning(
        max_length=256, learning_rate=1e-3, activation_checkpointing="full", loss="chunked"
    ),
    "selective checkpointing": lambda: InstructionTuning(
        max_length=256,
        learning_rate=1e-3,
        activation_checkpointing="selective",
        lora=LoRASettings(rank=4, alpha=8.0),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", STAGES)
def test_twenty_steps_on_two_and_four_processes(name: str, twin: Path, tmp_path: Path) -> None:
    sizes = {}
    for world_size in (1, 2, 4):
        folder = tmp_path / str(world_size)
        folder.mkdir()
        found = run_forked(run(twin, folder, steps=20, make=STAGES[name]), world_size)
        sizes[world_size] = max(sum(shard.values()) for shard in found)
    compare(tmp_path / "1", tmp_path / "2")
    compare(tmp_path / "1", tmp_path / "4")
    assert sizes[2] < 0.6 * sizes[1]
    assert sizes[4] < 0.35 * sizes[1]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["stage 1", "everything"])
def test_a_run_goes_on_with_another_number_of_processes(
    name: str, twin: Path, tmp_path: Path
) -> None:
    one, changing = tmp_path / "one", tmp_path / "changing"
    one.mkdir()
    changing.mkdir()
    run_forked(run(twin, one, steps=8, make=STAGES[name]))
    names = ("a.jsonl", "b.jsonl", "c.jsonl")
    for stop_after, world_size, losses in zip((2, 4, 0), (2, 4, 1), names, strict=True):
        # Told to end in a step, a run saves the next one.
        task = run(twin, changing, steps=8, make=STAGES[name], losses=losses, stop_after=stop_after)
        run_forked(task, world_size, ends_with=128 + signal.SIGTERM if stop_after else 0)
    compare(one, changing, names=names)
    assert [min(read_losses(changing / name)) for name in names] == [1, 4, 6]


@pytest.mark.slow
def test_a_process_without_images_does_not_keep_the_others_waiting(tmp_path: Path) -> None:
    def task() -> None:
        torch.manual_seed(7)
        stage = InstructionTuning(learning_rate=1e-3)
        # Two samples a step, so that often one process has an image and the other has none.
        data = MemorySamples(stage, batch_size=2, text_only=True)
        folder = tmp_path / os.environ.get("WORLD_SIZE", "1")
        losses = Losses(folder / "losses.jsonl")
        save = ModelFolder(str(folder / "model"))
        fit(stage, data, folder=folder, max_steps=8, callbacks=[losses, save])

    for world_size in (1, 2):
        (tmp_path / str(world_size)).mkdir()
        run_forked(task, world_size)
    compare(tmp_path / "1", tmp_path / "2")


@pytest.mark.slow
@pytest.mark.filterwarnings(
    "ignore:LightningCLI's args parameter:UserWarning",
    # lightning 2.6 calls a method that jsonargparse 4.53 has renamed.
    "ignore::jsonargparse._deprecated.JsonargparseDeprecationWarning",
)
def test_one_process_tells_what_was_refused_and_the_other_ends_well(
    twin: Path, tmp_path: Path, mlflow_store: Any
) -> None:
    root = tmp_path / "vqa_rad"
    shutil.copytree(twin, root)
    first = json.loads((root / "trainset.json").read_text())[0]["image_name"]
    (root / "images" / first).write_bytes(b"damaged")
    config = tmp_path / "fit.yaml"
    parts = "[towers, projectors, connector, language_model]"
    config.write_text(f"""
model:
  class_path: models.InstructionTuning
  init_args: {{max_length: 256, train_parts: {parts}}}
data:
  class_path: data_modules.VQARADDataModule
  init_args: {{root: {root}, batch_size: 2, validation_fraction: 0.0}}
trainer:
  accelerator: cpu
  max_steps: 2
  log_every_n_steps: 1
  default_root_dir: {tmp_path}
  enable_checkpointing: false
  callbacks:
    - class_path: semihvision.training.ModelFolder
      init_args: {{folder: {tmp_path}/model}}
""")

    def task() -> int:
        from semihvision.cli.main import main

        return main(["fit", "-c", str(config)])

    # Lightning and torchrun end all processes where one that is not the first fails.
    assert run_forked(task, world_size=2) == [3, 0]
    refused = (tmp_path / "fit.refused.jsonl").read_text().splitlines()
    assert refused
    assert all(json.loads(line)["kind"] for line in refused)
    PMCCambrian.from_pretrained(tmp_path / "model")


def test_no_unit_mixes_frozen_and_trained_but_the_root(twin: Path) -> None:
    for make in (STAGES["stage 1"], STAGES["lora"]):
        stage = make()
        stage.configure_model()
        seen: set[int] = set()
        for unit in units(stage.network):
            own = [p for module in unit for p in module.parameters() if id(p) not in seen]
            seen |= {id(p) for p in own}
            assert own
            if unit[0] is not stage.network:
                assert len({p.requires_grad for p in own}) == 1, type(unit[0]).__name__
        names = {n for n, p in stage.network.named_parameters() if id(p) not in seen}
        assert not names
