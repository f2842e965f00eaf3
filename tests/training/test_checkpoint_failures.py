"""What must never reach a checkpoint, and what must never take one away."""

import errno
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


def run(folder: Path, *callbacks: Callback) -> None:
    torch.manual_seed(0)
    stage = ConnectorAlignment()
    checkpoint = ResumableCheckpoint(str(folder / "checkpoints"), every_n_steps=1)
    fit(
        stage,
        MemorySamples(stage, batch_size=4),
        folder=folder,
        max_steps=3,
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
