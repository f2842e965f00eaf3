"""A killed run goes on bit for bit when the same command is given again."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from training_runs import Losses, fit, read_losses, run_forked, twin_of_vqa_rad

from data_modules.packing import Packing
from models import InstructionTuning
from models.lora import LoRASettings
from semihvision.training import ResumableCheckpoint

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers:UserWarning",
    "ignore:Found .* module.s. in eval mode:UserWarning",
    "ignore:You defined a `validation_step`:UserWarning",
    "ignore:Total length of:UserWarning",
    "ignore:FSDP2-wrapped module:UserWarning",
)


def run(
    twin: Path,
    folder: Path,
    *,
    signal_after: int = 0,
    every: int = 2,
    steps: int = 4,
    data: dict[str, Any] | None = None,
    losses: str = "losses.jsonl",
    number: int = signal.SIGKILL,
) -> Callable[[], None]:
    """A run with dropout that saves, and perhaps kills itself; the same for every call."""

    def task() -> None:
        torch.manual_seed(7)
        stage = InstructionTuning(max_length=256, lora=LoRASettings(rank=2, alpha=4.0, dropout=0.3))
        settings = {"global_batch_size": 2, "batch_size": 1, "cache_images": True} | (data or {})
        fit(
            stage,
            twin_of_vqa_rad(twin, stage, **settings),
            folder=folder,
            max_steps=steps,
            callbacks=[
                ResumableCheckpoint(str(folder / "checkpoints"), every_n_steps=every),
                Losses(folder / losses, signal_after=signal_after, number=number),
            ],
        )

    return task


def test_a_killed_run_goes_on_with_the_same_losses(twin: Path, tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    run_forked(run(twin, tmp_path / "whole"))
    run_forked(run(twin, tmp_path, signal_after=3), ends_with=-signal.SIGKILL)
    run_forked(run(twin, tmp_path, losses="resumed.jsonl"))
    expected = read_losses(tmp_path / "whole" / "losses.jsonl")
    assert set(expected) == {1, 2, 3, 4}
    resumed = read_losses(tmp_path / "resumed.jsonl")
    # It goes on from the checkpoint of step 2, not from the beginning.
    assert set(resumed) == {3, 4}
    assert read_losses(tmp_path / "losses.jsonl") | resumed == expected


WORKERS = {"num_workers": 2, "cache_images": False}
WEIGHTS = {"source_weights": {"vqa_rad": 0.6}}
PACKED = {"packing": Packing(tokens=256, images=2)}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("killed_after", "data"),
    [
        pytest.param(3, WORKERS, id="workers"),
        pytest.param(6, WEIGHTS, id="weights"),
        pytest.param(7, PACKED, id="packed"),
        pytest.param(11, WORKERS | WEIGHTS, id="workers and weights"),
        pytest.param(14, WORKERS | PACKED, id="workers and packed"),
    ],
)
def test_kills_anywhere_in_three_epochs(
    killed_after: int, data: dict[str, Any], twin: Path, tmp_path: Path
) -> None:
    whole = tmp_path / "whole"
    whole.mkdir()
    run_forked(run(twin, whole, steps=16, data=data))
    killed = run(twin, tmp_path, steps=16, data=data, signal_after=killed_after)
    run_forked(killed, ends_with=-signal.SIGKILL)
    run_forked(run(twin, tmp_path, steps=16, data=data))
    assert read_losses(tmp_path / "losses.jsonl") == read_losses(whole / "losses.jsonl")


@pytest.mark.slow
def test_a_run_that_is_told_to_end_saves_and_goes_on(twin: Path, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    whole.mkdir()
    run_forked(run(twin, whole))
    told = run(twin, tmp_path, every=100, signal_after=2, number=signal.SIGTERM)
    run_forked(told, ends_with=128 + signal.SIGTERM)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-000000003"]
    run_forked(run(twin, tmp_path, every=100))
    assert read_losses(tmp_path / "losses.jsonl") == read_losses(whole / "losses.jsonl")
