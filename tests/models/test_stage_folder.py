"""The model folder a stage writes: plain, complete, in as many files as asked for."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from models import Annealing, InstructionTuning, PMCCambrian, PMCCambrianConfig
from models.lora import LoRASettings, is_adapter
from models.presets import preset
from models.stages import Stage
from models.stages.building import StartValues, build, meta_model
from models.stages.folder import write_weights
from models.stages.handoff import read_lineage
from models.towers import VisionTower
from models.weight_files import SINGLE_FILE, FolderTensors
from semihvision.core.errors import InputError


@pytest.fixture(scope="module")
def adapted() -> InstructionTuning:
    """A stage whose adapters are no longer at their start."""
    torch.manual_seed(0)
    stage = InstructionTuning(lora=LoRASettings(rank=2, alpha=4.0))
    stage.configure_model()
    for name, parameter in stage.network.named_parameters():
        if is_adapter(name):
            torch.nn.init.normal_(parameter, std=0.1)
    return stage


def test_adapters_are_merged_and_the_next_stage_takes_the_folder(
    adapted: InstructionTuning, tmp_path: Path
) -> None:
    adapted.save_model_folder(tmp_path / "model", steps=3)
    plain = PMCCambrian.from_pretrained(tmp_path / "model").eval()
    ids: dict[str, Any] = {"input_ids": torch.arange(20).reshape(2, 10)}
    ours = adapted.network.eval()
    torch.testing.assert_close(plain(**ids).logits, ours(**ids).logits, rtol=1e-5, atol=1e-5)
    assert not any("lora" in name or "base_layer" in name for name in plain.state_dict())
    (entry,) = read_lineage(tmp_path / "model")
    assert entry["lora"]["rank"] == 2
    following = Annealing(init_from=str(tmp_path / "model"))
    following.configure_model()


def test_many_files_hold_what_one_holds(adapted: InstructionTuning, tmp_path: Path) -> None:
    for name, size in (("one", 10**9), ("many", 500_000)):
        (tmp_path / name).mkdir()
        write_weights(adapted.network, tmp_path / name, lora=adapted.plan.lora, shard_bytes=size)
        adapted.network.config.save_pretrained(tmp_path / name)
    index = json.loads((tmp_path / "many" / "model.safetensors.index.json").read_text())
    files = set(index["weight_map"].values())
    assert len(files) > 3
    assert {path.name for path in (tmp_path / "many").glob("*.safetensors")} == files
    one = PMCCambrian.from_pretrained(tmp_path / "one").state_dict()
    many = PMCCambrian.from_pretrained(tmp_path / "many").state_dict()
    tensors = FolderTensors(tmp_path / "many")
    for name, value in one.items():
        assert torch.equal(value, many[name])
        assert torch.equal(value, tensors.read(name))


def test_a_weight_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="weight 'newline' cannot be read"):
        FolderTensors(tmp_path).read("newline")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_weight_without_a_value_is_refused_by_name(
    adapted: InstructionTuning, tmp_path: Path, value: float
) -> None:
    adapted.save_model_folder(tmp_path / "model")
    file = tmp_path / "model" / SINGLE_FILE
    tensors = load_file(file)
    # A sum that overflows is no reason for a refusal.
    tensors["query"][0, :2] = torch.finfo(torch.float32).max
    save_file(tensors, file, {"format": "pt"})
    PMCCambrian.from_pretrained(tmp_path / "model")
    tensors["newline"][3] = value
    save_file(tensors, file, {"format": "pt"})
    with pytest.raises(InputError, match="not finite: newline holds NaN or infinity"):
        PMCCambrian.from_pretrained(tmp_path / "model")
    reader = FolderTensors(tmp_path / "model")
    reader.read("query")
    with pytest.raises(InputError, match="not finite: newline holds NaN or infinity"):
        reader.read("newline")


def half_precision_towers(_: str) -> PMCCambrianConfig:
    config = preset("tiny")
    config.towers = [tower | {"dtype": "float16"} for tower in config.towers]
    return config


def test_trained_towers_start_and_stay_unrounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.stages.base.preset_config", half_precision_towers)
    spec = half_precision_towers("").tower_specs[1]
    published = VisionTower(replace(spec, dtype=None)).backbone.state_dict()
    save_file(published, tmp_path / "tower.safetensors")
    assert any(not torch.equal(v, v.half().float()) for v in published.values())

    def towers(stage: Stage) -> dict[str, torch.Tensor]:
        """What `build` and the first process of a sharded run give the tower; both the same."""
        model, start = build(stage.plan).model, StartValues(stage.plan)
        prefix = "towers.1.backbone."
        found = {n.removeprefix(prefix): v for n, v in model.state_dict().items() if prefix in n}
        for name, value in meta_model(stage.plan).state_dict().items():
            if prefix in name:
                held = found[name.removeprefix(prefix)]
                assert value.dtype == held.dtype
                assert torch.equal(start.value(name).to(value.dtype), held)
        return found

    def same(found: dict[str, torch.Tensor]) -> bool:
        return all(torch.equal(found[name], value) for name, value in published.items())

    source = {spec.name: str(tmp_path / "tower.safetensors")}
    frozen = InstructionTuning(tower_weights=source)
    assert not same(towers(frozen))
    trained = InstructionTuning(tower_weights=source, train_parts=["towers", "newline"])
    assert same(towers(trained))
    trained.configure_model()
    trained.save_model_folder(tmp_path / "model")
    saved = PMCCambrianConfig.from_folder(tmp_path / "model")
    assert [tower.dtype for tower in saved.tower_specs] == [None] * 4
    for parts in (["newline"], ["towers"]):
        following = Annealing(init_from=str(tmp_path / "model"), train_parts=parts)
        assert same(towers(following))


def test_frozen_weights_that_bfloat16_holds_are_kept_in_it_and_written_as_before(
    adapted: InstructionTuning, tmp_path: Path
) -> None:
    lora = LoRASettings(rank=2, alpha=4.0)
    source = tmp_path / "source"
    adapted.save_model_folder(source)
    exact = PMCCambrian.from_pretrained(source)
    with torch.no_grad():
        for parameter in exact.language_model.parameters():
            parameter.copy_(parameter.bfloat16())
        exact.language_model.model.norm.weight.fill_(1 / 3)  # float32 alone holds this one
    exact.save_pretrained(source)
    plan = InstructionTuning(init_from=str(source), lora=lora).plan
    model = build(plan, compute_dtype=torch.bfloat16).model
    layer = model.language_model.model.layers[0].self_attn.q_proj
    assert layer.base_layer.weight.dtype == torch.bfloat16
    assert model.language_model.model.norm.weight.dtype == torch.float32
    assert all(p.dtype == torch.float32 for p in model.parameters() if p.requires_grad)
    assert all(p.dtype == torch.float32 for p in model.towers.parameters())
    ids = torch.arange(20).reshape(2, 10)
    with torch.autocast("cpu", torch.bfloat16):
        found = model.train()(input_ids=ids, labels=ids).loss
        whole = build(plan).model.train()(input_ids=ids, labels=ids).loss
    torch.testing.assert_close(found, whole, rtol=0.02, atol=0)
    for name, kept in (("low", model), ("whole", build(plan).model)):
        (tmp_path / name).mkdir()
        write_weights(kept, tmp_path / name, lora=lora)
        kept.config.save_pretrained(tmp_path / name)
    low, full = (PMCCambrian.from_pretrained(tmp_path / n).state_dict() for n in ("low", "whole"))
    assert all(torch.equal(value, low[name]) for name, value in full.items())
