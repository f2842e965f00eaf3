"""A run whose checkpoints are at its end, or beyond it: nothing is trained, nothing replaced."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from training_runs import Losses, fit, read_losses, twin_of_vqa_rad

from models import ConnectorAlignment
from semihvision.core.errors import InputError
from semihvision.core.hashing import hash_path
from semihvision.training import ModelFolder, ResumableCheckpoint
from semihvision.training.callbacks import RunProvenance

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers:UserWarning",
    "ignore:Found .* module.s. in eval mode:UserWarning",
    "ignore:You defined a `validation_step`:UserWarning",
    "ignore:Total length of:UserWarning",
)


def run(twin: Path, folder: Path, *, batch_size: int = 4, **length: int) -> set[int]:
    """A run in a folder, as long as told; the steps that it trained."""
    torch.manual_seed(0)
    stage = ConnectorAlignment(max_length=256)
    losses = folder / "losses.jsonl"
    losses.write_text("")
    fit(
        stage,
        twin_of_vqa_rad(twin, stage, batch_size=batch_size, cache_images=True),
        folder=folder,
        callbacks=[
            ModelFolder(str(folder / "model")),
            ResumableCheckpoint(str(folder / "checkpoints"), every_n_steps=100),
            Losses(losses),
        ],
        **length,
    )
    return set(read_losses(losses))


def state(folder: Path) -> tuple[int, str, int]:
    """Steps of the model in the folder, its hash, and when it was written."""
    (entry,) = json.loads((folder / "model" / "lineage.json").read_text())
    return entry["steps"], hash_path(folder / "model"), (folder / "model").stat().st_mtime_ns


@pytest.fixture(scope="module")
def ended(twin: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two steps, fewer than lie between two checkpoints."""
    folder = tmp_path_factory.mktemp("ended")
    assert run(twin, folder, max_steps=2) == {1, 2}
    return folder


@pytest.fixture
def folder(ended: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(ended, tmp_path / "run", copy_function=shutil.copy2))


def test_the_end_of_a_run_is_saved_and_a_longer_one_goes_on_from_it(
    twin: Path, folder: Path
) -> None:
    assert [path.name for path in (folder / "checkpoints").iterdir()] == ["step-000000002"]
    assert run(twin, folder, max_steps=3) == {3}
    assert state(folder)[0] == 3


def test_a_finished_run_has_nothing_left_to_do(
    twin: Path, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = state(folder)
    assert run(twin, folder, max_steps=2) == set()
    assert state(folder) == before
    assert "all 2 steps are done; nothing is left to train" in caplog.text
    shutil.rmtree(folder / "model")
    assert run(twin, folder, max_steps=2) == set()
    # The model comes out of the checkpoint, should it be lost.
    assert state(folder)[:2] == before[:2]


def test_so_has_one_whose_length_is_told_in_epochs(twin: Path, tmp_path: Path) -> None:
    trained = run(twin, tmp_path, max_epochs=1, batch_size=16)
    before = state(tmp_path)
    assert before[0] == len(trained) > 1
    assert run(twin, tmp_path, max_epochs=1, batch_size=16) == set()
    assert state(tmp_path) == before


def test_a_checkpoint_beyond_the_end_is_refused(twin: Path, folder: Path) -> None:
    before = state(folder)
    with pytest.raises(InputError, match=r"step-000000002: .* at step 2, the run asks for 1 steps"):
        run(twin, folder, max_steps=1)
    assert state(folder) == before


def test_no_shorter_run_replaces_a_model(twin: Path, folder: Path) -> None:
    before = state(folder)
    shutil.rmtree(folder / "checkpoints")
    with pytest.raises(InputError, match="holds a model of 2 steps and is not replaced by one of"):
        run(twin, folder, max_steps=1)
    assert state(folder) == before


def test_a_run_that_ended_early_leaves_the_longer_model(twin: Path, folder: Path) -> None:
    before = state(folder)
    trainer: Any = fit_stub(global_step=1)
    with pytest.raises(InputError, match="holds a model of 2 steps"):
        ModelFolder(str(folder / "model")).on_fit_end(trainer, trainer)
    assert state(folder) == before


def fit_stub(**attributes: Any) -> Any:
    """What `ModelFolder` asks of a trainer of one process."""
    from types import SimpleNamespace

    strategy = SimpleNamespace(broadcast=lambda value: value)
    return SimpleNamespace(strategy=strategy, is_global_zero=True, **attributes)


@pytest.mark.parametrize("begun", [None, "before/model"])
def test_validate_says_whose_weights_it_is_about(
    begun: str | None, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = ModelFolder(str(folder / "model"))
    provenance = RunProvenance(parser=None, config=None)  # type: ignore[arg-type]
    trainer = fit_stub(callbacks=[made], ckpt_path=None)
    stage: Any = fit_stub(init_from=begun)
    trainer.state = fit_stub(fn="validate")
    provenance.on_validation_start(trainer, stage)
    assert f"weights: {begun or 'drawn at random, since init_from is not set'}" in caplog.text
    assert f"add --model.init_args.init_from {made.folder}" in caplog.text
    caplog.clear()
    stage.init_from = made.folder
    provenance.on_validation_start(trainer, stage)
    assert caplog.messages == [f"weights: {made.folder}"]
    caplog.clear()
    trainer.state.fn = "fit"
    provenance.on_validation_start(trainer, stage)
    assert caplog.messages == []
