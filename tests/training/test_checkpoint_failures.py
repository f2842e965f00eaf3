"""What must never reach a checkpoint, and what must never take one away."""

import errno
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from memory_samples import MemorySamples
from training_runs import fit

from models import ConnectorAlignment
from semihvision.core.errors import InputError
from semihvision.training import ResumableCheckpoint, checkpoint_files

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers:UserWarning",
    "ignore:Found .* module.s. in eval mode:UserWarning",
    "ignore:You defined a `validation_step`:UserWarning",
    # The samples in memory do go on, but their loader does not say so.
    "ignore:You're resuming from a checkpoint that ended:UserWarning",
)


def run(folder: Path, *callbacks: Callback, steps: int = 3, **settings: Any) -> L.Trainer:
    torch.manual_seed(0)
    stage = ConnectorAlignment(**settings)
    checkpoint = ResumableCheckpoint(str(folder / "checkpoints"), every_n_steps=1)
    return fit(
        stage,
        MemorySamples(stage, batch_size=4),
        folder=folder,
        max_steps=steps,
        callbacks=[checkpoint, *callbacks],
    )


class Break(Callback):
    """Puts NaN into a trained weight after the second step."""

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, *args: Any
    ) -> None:
        if trainer.global_step == 2:
            with torch.no_grad():
                pl_module.network.newline.fill_(float("nan"))  # type: ignore[union-attr, operator]


def test_a_loss_that_is_nan_ends_the_run_before_anything_is_saved(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the loss of this step is nan"):
        run(tmp_path, Break())
    newest = checkpoint_files.newest(tmp_path / "checkpoints")
    assert newest == tmp_path / "checkpoints" / "step-000000002"


class BreakGradients(Callback):
    """Makes the gradients of one weight infinite from the third step on; the loss stays finite."""

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, *args: Any
    ) -> None:
        if trainer.global_step == 2:
            newline: Any = pl_module.network.newline  # type: ignore[union-attr]
            newline.register_hook(lambda gradient: gradient / 0)


def test_gradients_that_are_not_finite_end_the_run_though_the_loss_is(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"loss of this step is \d+\.\d+, but its gradients"):
        run(tmp_path, BreakGradients())
    newest = checkpoint_files.newest(tmp_path / "checkpoints")
    assert newest == tmp_path / "checkpoints" / "step-000000002"


@pytest.mark.parametrize("overflows", ["weight", "optimizer"])
def test_a_step_that_overflows_is_not_saved(overflows: str, tmp_path: Path) -> None:
    class Overflow(Callback):
        """Does to the second step what a far too high rate or gradient does."""

        def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
            if trainer.global_step == 2:
                newline: Any = trainer.lightning_module.network.newline  # type: ignore[union-attr]
                (optimizer,) = trainer.optimizers
                moment = optimizer.state[newline]["exp_avg_sq"]
                (newline.data if overflows == "weight" else moment).fill_(float("inf"))

    overflow = Overflow()
    torch.manual_seed(0)
    stage = ConnectorAlignment()
    checkpoint = ResumableCheckpoint(str(tmp_path / "checkpoints"), every_n_steps=1)
    with pytest.raises(InputError, match="after step 2 weights or optimizer hold NaN"):
        fit(
            stage,
            MemorySamples(stage, batch_size=4),
            folder=tmp_path,
            max_steps=3,
            callbacks=[overflow, checkpoint],
        )
    assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == ["step-000000001"]


def test_a_run_with_trained_towers_goes_on(tmp_path: Path) -> None:
    # CLIP is read before its last block, which is not trained, and of which nothing is saved.
    run(tmp_path, steps=1, train_parts=["towers", "newline"])
    trainer = run(tmp_path, steps=2, train_parts=["towers", "newline"])
    steps = {float(state["step"]) for state in trainer.optimizers[0].state.values()}
    assert steps == {2.0}


def test_a_run_that_goes_on_takes_the_rates_it_is_given(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def rate(folder: Path, steps: int, **settings: Any) -> float:
        trainer = run(folder, steps=steps, **settings)
        (schedule,) = (config.scheduler for config in trainer.lr_scheduler_configs)
        assert isinstance(schedule, torch.optim.lr_scheduler.LambdaLR)
        assert schedule.last_epoch == steps
        seen.append(trainer.optimizers[0].param_groups[0]["weight_decay"])
        return float(schedule.base_lrs[0])

    seen: list[float] = []
    assert rate(tmp_path, 1, learning_rate=1e-3, weight_decay=0.1) == 1e-3
    assert rate(tmp_path, 2, learning_rate=1e-4, weight_decay=0.2) == 1e-4
    assert seen == [0.1, 0.2]
    assert "peak rates are [0.0001" in caplog.text


@pytest.mark.parametrize("where", ["begin", "finish"])
def test_a_full_disk_leaves_the_last_good_checkpoint(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = getattr(checkpoint_files, where), []

    def full(*paths: Path) -> Any:
        calls.append(paths)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*paths)

    monkeypatch.setattr(checkpoint_files, where, full)
    with pytest.raises(InputError, match=r"No space left.*step-000000001: make room"):
        run(tmp_path)
    left = [path.name for path in (tmp_path / "checkpoints").iterdir()]
    assert left == ["step-000000001"]
    monkeypatch.undo()
    run(tmp_path)
    assert checkpoint_files.newest(tmp_path / "checkpoints") == (
        tmp_path / "checkpoints" / "step-000000003"
    )


@pytest.fixture
def small_files() -> Iterator[None]:
    """No file may grow above 100 kB; weights and optimizer are larger."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_weights_that_the_system_does_not_take_leave_nothing_behind(
    tmp_path: Path, small_files: None
) -> None:
    with pytest.raises(InputError, match=r"cannot be written to .*The last good one is None: make"):
        run(tmp_path, steps=1)
    assert list((tmp_path / "checkpoints").iterdir()) == []


def test_a_run_that_has_ended_ends_at_once(tmp_path: Path) -> None:
    run(tmp_path)
    before = (tmp_path / "checkpoints" / "step-000000003" / "progress.pt").stat().st_mtime_ns
    run(tmp_path)
    after = (tmp_path / "checkpoints" / "step-000000003" / "progress.pt").stat().st_mtime_ns
    assert after == before


@pytest.mark.parametrize("wrong", [{"every_n_steps": 0}, {"keep": 0}])
def test_settings_that_save_nothing_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(InputError, match="expected 1 or more"):
        ResumableCheckpoint("x", **wrong)
