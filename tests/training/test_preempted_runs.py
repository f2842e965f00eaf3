"""A run that is told to end, wherever it is: saved if there is something, and gone on with."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import Callback
from training_runs import Losses, fit, read_losses, twin_of_vqa_rad

from models import ConnectorAlignment
from semihvision.training import ModelFolder, ResumableCheckpoint, checkpoint_files

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers:UserWarning",
    "ignore:Found .* module.s. in eval mode:UserWarning",
)

STEPS = 4


class SignalAt(Callback):
    """Sends this process a signal in a hook, at the first call after so many steps."""

    def __init__(self, hook: str, *, after: int, number: int = signal.SIGTERM) -> None:
        self.after = after
        self.number = number
        self.sent = False
        setattr(self, hook, self._send)

    def _send(self, trainer: Any, *_: Any, **__: Any) -> None:
        if trainer.global_step >= self.after and not self.sent:
            self.sent = True
            os.kill(os.getpid(), self.number)


def run(twin: Path, folder: Path, *callbacks: Callback, every: int = 100) -> dict[int, float]:
    """A run that validates after every second step; its losses by step."""
    torch.manual_seed(0)
    stage = ConnectorAlignment(max_length=256)
    data: Any = twin_of_vqa_rad(twin, stage, batch_size=2, cache_images=True)
    data.validation_fraction = 0.4
    losses = folder / "losses.jsonl"
    fit(
        stage,
        data,
        folder=folder,
        max_steps=STEPS,
        val_check_interval=4,
        accumulate_grad_batches=2,
        callbacks=[
            ResumableCheckpoint(str(folder / "checkpoints"), every_n_steps=every),
            ModelFolder(str(folder / "model")),
            Losses(losses),
            *callbacks,
        ],
    )
    return read_losses(losses)


def checkpoints(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "checkpoints").glob("*"))


def handlers() -> list[Any]:
    return [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1)]


@pytest.fixture(scope="module")
def undisturbed(twin: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, float]:
    return run(twin, tmp_path_factory.mktemp("undisturbed"))


@pytest.mark.parametrize("hook", ["setup", "on_fit_start", "on_validation_batch_start"])
def test_before_the_first_batch_a_run_ends_at_once(hook: str, twin: Path, tmp_path: Path) -> None:
    told = SignalAt(hook, after=0, number=signal.SIGUSR1)
    with pytest.raises(SystemExit) as ended:
        run(twin, tmp_path, told)
    assert ended.value.code == 128 + signal.SIGUSR1
    assert checkpoints(tmp_path) == []
    assert not (tmp_path / "losses.jsonl").exists()


@pytest.mark.parametrize(
    ("hook", "after", "saved"),
    [
        pytest.param("on_train_batch_start", 1, 2, id="in a step", marks=pytest.mark.slow),
        pytest.param("on_validation_batch_start", 2, 2, id="in a validation"),
        pytest.param(
            "on_validation_epoch_end",
            2,
            2,
            id="at the end of a validation",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_run_that_has_stepped_saves_and_goes_on(
    hook: str,
    after: int,
    saved: int,
    undisturbed: dict[int, float],
    twin: Path,
    tmp_path: Path,
) -> None:
    with pytest.raises(SystemExit) as ended:
        run(twin, tmp_path, SignalAt(hook, after=after))
    assert ended.value.code == 128 + signal.SIGTERM
    assert checkpoints(tmp_path) == [f"step-{saved:09d}"]
    assert not (tmp_path / "model").exists()
    assert run(twin, tmp_path) == undisturbed


def test_one_that_is_just_saving_ends_with_that_checkpoint(
    twin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, finished = checkpoint_files.finish, []

    def told(partial: Path, final: Path) -> None:
        real(partial, final)
        finished.append(final.name)
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(checkpoint_files, "finish", told)
    with pytest.raises(SystemExit):
        run(twin, tmp_path, every=1)
    assert finished == checkpoints(tmp_path) == ["step-000000001"]


@pytest.mark.slow
def test_one_that_goes_on_and_is_told_before_its_first_step_keeps_its_checkpoint(
    undisturbed: dict[int, float], twin: Path, tmp_path: Path
) -> None:
    with pytest.raises(SystemExit):
        run(twin, tmp_path, SignalAt("on_train_batch_start", after=1))
    with pytest.raises(SystemExit):
        run(twin, tmp_path, SignalAt("on_fit_start", after=0))
    assert checkpoints(tmp_path) == ["step-000000002"]
    assert run(twin, tmp_path) == undisturbed


def test_one_that_has_done_its_last_step_hands_its_model_on(twin: Path, tmp_path: Path) -> None:
    before = handlers()
    run(twin, tmp_path, SignalAt("on_train_end", after=STEPS))
    assert (tmp_path / "model" / "config.json").is_file()
    assert handlers() == before
