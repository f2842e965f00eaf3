"""Where a stage's towers get their weights from, and what is remembered of it."""

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from lightning.pytorch.loggers import MLFlowLogger
from safetensors.torch import load_file, save_file
from tower_files import assert_holds, published

from models import ConnectorAlignment
from models.presets import preset
from models.processing import PMCCambrianProcessor
from models.stages.handoff import check_handoff, read_lineage
from models.tower_weights import check_tower_sources
from models.towers import VisionTower
from semihvision.core.errors import InputError
from semihvision.training.callbacks import RunProvenance


def test_towers_with_published_weights_do_not_start_random() -> None:
    specs = preset("8b").tower_specs
    sources = {made.name: str(made.weights) for made in specs}
    check_tower_sources(specs, sources, taken_over=False)
    check_tower_sources(specs, {}, taken_over=True)
    check_tower_sources(preset("tiny").tower_specs, {}, taken_over=False)
    dinov2 = sources.pop("facebook/dinov2-giant-res378")
    with pytest.raises(InputError, match=rf"would start with random weights.*'{dinov2}', or a fil"):
        check_tower_sources(specs, sources, taken_over=False)
    with pytest.raises(
        InputError, match=r"tower_weights \['dino'\]: no such towers; expected some"
    ):
        check_tower_sources(specs, {"dino": "x"}, taken_over=True)


@pytest.fixture
def stage_with_weights(tmp_path: Path) -> ConnectorAlignment:
    """A built stage whose second tower has weights of its own."""
    made = preset("tiny").tower_specs[1]
    save_file(published(VisionTower(made)), tmp_path / "weights.safetensors")
    source = str(tmp_path / "weights.safetensors")
    stage = ConnectorAlignment(tower_weights={made.name: source})
    stage.configure_model()
    return stage


def test_a_stage_loads_them_and_its_lineage_names_them_by_hash(
    stage_with_weights: ConnectorAlignment, tmp_path: Path
) -> None:
    stage, name = stage_with_weights, "tiny-siglip"
    assert_holds(stage.network.towers[1], load_file(tmp_path / "weights.safetensors"))
    stage.save_model_folder(tmp_path / "model")
    entry = read_lineage(tmp_path / "model")[0]["tower_weights"]
    sha256 = stage.loaded_towers[name].sha256
    assert entry == {name: {"source": "weights.safetensors", "sha256": sha256}}
    following = ConnectorAlignment(init_from=str(tmp_path / "model"))
    following.configure_model()
    assert_holds(following.network.towers[1], load_file(tmp_path / "weights.safetensors"))
    assert following.loaded_towers == {}


def test_a_run_is_tagged_with_the_hash(
    stage_with_weights: ConnectorAlignment, mlflow_store: Any
) -> None:
    logger = MLFlowLogger("towers", tracking_uri=os.environ["MLFLOW_TRACKING_URI"])
    trainer: Any = SimpleNamespace(loggers=[logger], is_global_zero=True)
    RunProvenance(parser=None, config=None).on_fit_start(trainer, stage_with_weights)  # type: ignore[arg-type]
    tags = mlflow_store.run(logger.run_id).data.tags
    sha256 = stage_with_weights.loaded_towers["tiny-siglip"].sha256
    assert tags["tower_weights/tiny-siglip"] == sha256


def test_frozen_towers_are_in_evaluation_mode_and_trained_ones_in_float32() -> None:
    stage = ConnectorAlignment()
    stage.configure_model()
    assert stage.network.connector.training
    assert not any(module.training for module in stage.network.towers.modules())
    trained = ConnectorAlignment(train_parts=["towers"])
    trained.configure_model()
    assert all(module.training for module in trained.network.towers.modules())


def test_a_handoff_compares_the_position_rule_but_not_how_weights_are_stored(
    tmp_path: Path,
) -> None:
    wanted, found = preset("tiny"), preset("tiny")
    PMCCambrianProcessor.from_preset("tiny").save_pretrained(tmp_path)
    found.towers[2]["dtype"] = "float16"
    found.save_pretrained(tmp_path)
    check_handoff(tmp_path, wanted=wanted)
    found.towers[2]["position_rule"] = "size"
    found.save_pretrained(tmp_path)
    with pytest.raises(InputError, match=r"towers\.2\.position_rule 'size', not None"):
        check_handoff(tmp_path, wanted=wanted)


def test_a_stage_at_8b_asks_for_weights_before_anything_is_built() -> None:
    with pytest.raises(InputError, match="would start with random weights; set init_from"):
        ConnectorAlignment(preset="8b")
