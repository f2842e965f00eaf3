"""A model folder is written whole or not at all."""

import errno
import os
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError
from training_runs import run_forked

from models import ConnectorAlignment, PMCCambrian, weight_files
from models.stages import folder as weight_folder
from models.stages import model_folder
from semihvision.core.errors import InputError


def no_room(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def no_room_in_rust(*_: Any, **__: Any) -> None:
    raise SafetensorError("Error while serializing: I/O error: No space left on device")


@pytest.fixture(scope="module")
def stage() -> ConnectorAlignment:
    torch.manual_seed(0)
    made = ConnectorAlignment()
    made.configure_model()
    return made


@pytest.mark.parametrize(
    ("module", "name", "failure"),
    [
        (model_folder, "_begin", no_room),
        (weight_files, "save_file", no_room_in_rust),
        (model_folder, "write_lineage", no_room),
        (model_folder, "tree_to_disk", no_room),
    ],
)
@pytest.mark.parametrize("older", [False, True])
def test_a_full_disk_leaves_what_was_there_and_nothing_half_written(
    module: Any,
    name: str,
    failure: Any,
    older: bool,
    stage: ConnectorAlignment,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "model"
    if older:
        stage.save_model_folder(folder, steps=1)
    before = {path.name: path.read_bytes() for path in folder.glob("*")}
    monkeypatch.setattr(module, name, failure)
    with pytest.raises(InputError, match=r"No space left.*unchanged\. Make room") as refusal:
        stage.save_model_folder(folder, steps=2)
    assert str(folder) in str(refusal.value)
    assert {path.name: path.read_bytes() for path in folder.glob("*")} == before
    assert [path.name for path in tmp_path.iterdir()] == ["model"] * older


@pytest.fixture
def small_files() -> Iterator[None]:
    """No file may grow above 100 kB."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_file_that_the_system_does_not_let_grow(
    stage: ConnectorAlignment, tmp_path: Path, small_files: None
) -> None:
    with pytest.raises(InputError, match="the model folder cannot be written"):
        stage.save_model_folder(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_a_defect_of_the_program_is_not_called_a_full_disk(
    stage: ConnectorAlignment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_folder, "write_lineage", lambda *_: {}["missing"])
    with pytest.raises(KeyError):
        stage.save_model_folder(tmp_path / "model")


def test_an_older_folder_is_replaced(stage: ConnectorAlignment, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "stale").touch()
    stage.save_model_folder(folder)
    assert not (folder / "stale").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    PMCCambrian.from_pretrained(folder)


def test_no_process_is_left_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def task() -> str:
        import torch.distributed as dist
        from torch.distributed.device_mesh import init_device_mesh

        from models.stages.building import build_sharded

        dist.init_process_group("gloo")
        made = ConnectorAlignment()
        cpu = torch.device("cpu")
        mesh = init_device_mesh("cpu", (2,))
        made.model, _ = build_sharded(
            made.plan, mesh, device=cpu, compute_dtype=None, cpu_offload=False
        )
        # Only the first process writes, and finds the disk full at the first of many files.
        defaults = weight_folder.write_weights.__kwdefaults__
        monkeypatch.setitem(defaults, "shard_bytes", 10_000)
        monkeypatch.setattr(weight_files, "save_file", no_room)
        try:
            made.save_model_folder(tmp_path / "model")
        except InputError as error:
            return str(error)
        finally:
            dist.destroy_process_group()
        return "written"

    messages = run_forked(task, world_size=2)
    assert messages[0] == messages[1]
    assert "No space left" in messages[0]
    assert list(tmp_path.iterdir()) == []
