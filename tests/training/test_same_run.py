"""A checkpoint goes on only with the weights that its run began with, wherever they lie."""

import shutil
from pathlib import Path

import pytest
import torch
from memory_samples import MemorySamples
from safetensors.torch import load_file, save_file
from training_runs import fit

from models import ConnectorAlignment
from models.presets import preset
from models.towers import VisionTower
from semihvision.core.errors import InputError
from semihvision.training import ResumableCheckpoint
from semihvision.training.same_run import check_same_run

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers:UserWarning",
    "ignore:Found .* module.s. in eval mode:UserWarning",
    "ignore:You defined a `validation_step`:UserWarning",
    # The samples in memory do go on, but their loader does not say so.
    "ignore:You're resuming from a checkpoint that ended:UserWarning",
)


def run(folder: Path, steps: int, *, init_from: Path, towers: Path) -> int:
    """A run that saves every step; the step it ends at."""
    name = preset("tiny").tower_specs[1].name
    stage = ConnectorAlignment(init_from=str(init_from), tower_weights={name: str(towers)})
    checkpoint = ResumableCheckpoint(str(folder / "checkpoints"), every_n_steps=1)
    data = MemorySamples(stage, batch_size=2)
    return fit(stage, data, folder=folder, max_steps=steps, callbacks=[checkpoint]).global_step


def shift(file: Path, name: str) -> None:
    """Another value of a weight, in a file of the same name and size."""
    tensors = load_file(file)
    tensors[name] = tensors[name] + 1
    save_file(tensors, file, {"format": "pt"})


def test_the_same_weights_elsewhere_go_on_and_others_in_the_same_place_do_not(
    tmp_path: Path,
) -> None:
    torch.manual_seed(0)
    first, towers = tmp_path / "first", tmp_path / "towers.safetensors"
    made = ConnectorAlignment()
    made.configure_model()
    made.save_model_folder(first)
    tower = VisionTower(preset("tiny").tower_specs[1])
    weights = tower.backbone.state_dict()
    save_file(weights, towers)
    run(tmp_path, 1, init_from=first, towers=towers)

    moved = Path(shutil.move(first, tmp_path / "moved"))
    moved_towers = Path(shutil.move(towers, tmp_path / "other.safetensors"))
    assert run(tmp_path, 2, init_from=moved, towers=moved_towers) == 2

    # Frozen weights are in no checkpoint.
    shift(moved_towers, next(iter(weights)))
    with pytest.raises(InputError, match="another run: it has tower_weights tiny-siglip"):
        run(tmp_path, 3, init_from=moved, towers=moved_towers)
    shift(moved / "model.safetensors", "newline")
    with pytest.raises(InputError, match="another run: it has init_from_hash"):
        run(tmp_path, 3, init_from=moved, towers=moved_towers)


def test_every_difference_is_named(tmp_path: Path) -> None:
    saved = {"stage": "Annealing", "tokenizer": "a"}
    with pytest.raises(InputError, match=r"'Annealing', now 'Inst.*; tokenizer 'a', now None"):
        check_same_run(tmp_path, saved, {"stage": "InstructionTuning"})
    check_same_run(tmp_path, saved, dict(saved))
