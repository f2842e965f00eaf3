"""Towers against the official tower classes (small, random weights, cambrian.md section 13).

All four families; the published weights of the 8B's towers are not at hand.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from torch import Tensor
from torch.nn import functional as F

from models.configuration import TowerSpec
from models.modeling import PMCCambrian
from models.towers import VisionTower, resize_grid


@pytest.fixture(scope="module")
def official(golden_square: Path) -> Callable[[str], tuple[dict[str, Any], dict[str, Tensor]]]:
    """Sizes and tensors of one family of the golden towers."""
    path = golden_square.with_name("cambrian_towers.safetensors")

    def read(name: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
        with safe_open(path, framework="pt") as file:
            config = json.loads(file.metadata()["config"])[name]
            keys = [key for key in file.keys() if key.startswith(f"{name}.")]  # noqa: SIM118
            return config, {key.removeprefix(f"{name}."): file.get_tensor(key) for key in keys}

    return read


def weights_of(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    prefix = "weights."
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def check(spec: TowerSpec, weights: dict[str, Tensor], tensors: dict[str, Tensor]) -> None:
    tower = VisionTower(spec)
    assert tower.backbone is not None
    tower.backbone.load_state_dict(weights)
    torch.testing.assert_close(tower(tensors["input"]), tensors["output"], atol=1e-4, rtol=0)


def test_siglip_is_the_official_one(official: Callable[..., Any]) -> None:
    config, tensors = official("siglip")
    sizes = {k: config["config"][k] for k in ("img_size", "embed_dim", "depth", "num_heads")}
    spec = TowerSpec(
        name="siglip",
        timm_model="vit_so400m_patch14_siglip_384",
        timm_kwargs=sizes | {"mlp_ratio": config["config"]["mlp_ratio"], "global_pool": ""},
        input_side_px=112,
        features="last",
        grid_side=6,
        dim=32,
    )
    weights = {k: v for k, v in weights_of(tensors).items() if not k.startswith("attn_pool")}
    check(spec, weights, tensors)


def test_convnext_is_the_official_one(official: Callable[..., Any]) -> None:
    config, tensors = official("convnext_multi_stage")
    spec = TowerSpec(
        name="convnext",
        timm_model="convnext_xxlarge",
        timm_kwargs={"depths": config["config"]["depths"], "dims": config["config"]["dims"]},
        input_side_px=128,
        features="stages",
        grid_side=12,
        dim=80,
    )
    check(spec, weights_of(tensors), tensors)


def test_clip_is_the_official_one(official: Callable[..., Any]) -> None:
    config, tensors = official("clip")
    spec = TowerSpec(
        name="clip",
        timm_model="vit_large_patch14_clip_quickgelu_336",
        timm_kwargs={
            "img_size": 112,
            "embed_dim": config["config"]["hidden_size"],
            "depth": config["config"]["num_hidden_layers"],
            "num_heads": config["config"]["num_attention_heads"],
            "mlp_ratio": 2,
        },
        input_side_px=112,
        features="second_last",
        grid_side=6,
        dim=32,
    )
    check(spec, clip_to_timm(weights_of(tensors)), tensors)


def clip_to_timm(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    own = {k.removeprefix("vision_model."): v for k, v in weights.items()}
    renamed = {
        "cls_token": own.pop("embeddings.class_embedding")[None, None],
        "pos_embed": own.pop("embeddings.position_embedding.weight")[None],
        "patch_embed.proj.weight": own.pop("embeddings.patch_embedding.weight"),
    }
    for key, value in own.items():
        key = re.sub(r"^encoder\.layers\.", "blocks.", key)
        key = key.replace("pre_layrnorm", "norm_pre").replace("post_layernorm", "norm")
        key = re.sub(r"layer_norm(\d)", r"norm\1", key).replace("self_attn.out_proj", "attn.proj")
        renamed[key] = value
    for key in [key for key in renamed if ".q_proj." in key]:
        parts = [renamed.pop(key.replace("q_proj", f"{x}_proj")) for x in "qkv"]
        renamed[key.replace("self_attn.q_proj", "attn.qkv")] = torch.cat(parts)
    return renamed


def test_dinov2_is_the_official_one(official: Callable[..., Any]) -> None:
    config, tensors = official("dinov2")
    weights = dinov2_to_timm(weights_of(tensors))
    spec = TowerSpec(
        name="dinov2",
        timm_model="vit_giant_patch14_dinov2",
        timm_kwargs={
            "img_size": 378,
            "embed_dim": config["config"]["hidden_size"],
            "depth": config["config"]["num_hidden_layers"],
            "num_heads": config["config"]["num_attention_heads"],
            "mlp_ratio": weights["blocks.0.mlp.fc1.bias"].numel() / 32,
        },
        input_side_px=378,
        features="last",
        grid_side=12,
        dim=32,
    )
    check(spec, weights, tensors)


def dinov2_to_timm(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """timm's names, with the position table resampled to 27x27 as the official environment does."""
    own = dict(weights)
    own.pop("embeddings.mask_token")
    table = own.pop("embeddings.position_embeddings")
    grid = table[:, 1:].reshape(1, 37, 37, -1).permute(0, 3, 1, 2)
    scale = (27 + 0.1) / 37
    small = F.interpolate(grid, scale_factor=(scale, scale), mode="bicubic", align_corners=False)
    patches = small.permute(0, 2, 3, 1).flatten(1, 2)
    renamed = {
        "cls_token": own.pop("embeddings.cls_token"),
        "pos_embed": torch.cat([table[:, :1], patches], dim=1),
    }
    for key, value in own.items():
        key = key.replace("embeddings.patch_embeddings.projection", "patch_embed.proj")
        key = re.sub(r"^encoder\.layer\.", "blocks.", key).replace("layernorm", "norm")
        key = key.replace("attention.output.dense", "attn.proj")
        key = re.sub(r"layer_scale(\d)\.lambda1", r"ls\1.gamma", key)
        key = key.replace("mlp.weights_in", "mlp.fc1").replace("mlp.weights_out", "mlp.fc2")
        renamed[key] = value
    for key in [key for key in renamed if ".attention.query." in key]:
        names = ("query", "key", "value")
        parts = [renamed.pop(key.replace(".query.", f".{name}.")) for name in names]
        renamed[key.replace("attention.attention.query", "attn.qkv")] = torch.cat(parts)
    return renamed


def test_last_features_are_normalised_tokens_without_the_class_token() -> None:
    spec = TowerSpec(
        name="dino",
        timm_model="vit_giant_patch14_dinov2",
        timm_kwargs={
            "img_size": 28,
            "embed_dim": 16,
            "depth": 2,
            "num_heads": 2,
            "mlp_ratio": 4,
        },
        input_side_px=28,
        features="last",
        grid_side=2,
        dim=16,
    )
    tower = VisionTower(spec)
    pixels = torch.randn(3, 3, 28, 28)
    assert tower.backbone is not None
    expected = tower.backbone.forward_features(pixels)[:, 1:]
    torch.testing.assert_close(tower(pixels), expected)


def test_a_frozen_tower_keeps_no_graph_and_a_trained_one_learns(tiny_model: PMCCambrian) -> None:
    for tower in tiny_model.towers:
        side = tower.spec.input_side_px
        pixels = torch.randn(2, 3, side, side)
        result = tower(pixels)
        assert result.shape == (2, tower.spec.grid_side**2, tower.spec.dim)
        assert not result.requires_grad
        tower.requires_grad_(True)
        assert tower(pixels).requires_grad
        tower.requires_grad_(False)


def test_a_tower_computes_in_its_own_dtype(tiny_model: PMCCambrian) -> None:
    tower = VisionTower(tiny_model.config.tower_specs[0]).to(torch.bfloat16)
    side = tower.spec.input_side_px
    assert tower(torch.randn(1, 3, side, side)).dtype == torch.bfloat16


def test_resize_is_bilinear_in_float32_without_antialiasing() -> None:
    grid = torch.randn(1, 4, 9, 9, dtype=torch.bfloat16)
    expected = F.interpolate(grid.float(), size=(4, 4), mode="bilinear", align_corners=False)
    assert torch.equal(resize_grid(grid, 4), expected.bfloat16())
    assert resize_grid(grid, 9) is grid


def test_pixels_of_another_size_are_refused(tiny_model: PMCCambrian) -> None:
    spec = tiny_model.config.tower_specs[0]
    expected = rf"tower '{spec.name}'.*expected \(N, 3, {spec.input_side_px}, "
    with pytest.raises(ValueError, match=expected):
        tiny_model.towers[0](torch.zeros(1, 3, 50, 50))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"features": "first"}, "features is 'first'; expected one of"),
        ({"interpolation": "nearest"}, "interpolation is 'nearest'"),
        ({"grid_side": 0}, "grid_side is 0; expected at least 1"),
    ],
)
def test_impossible_specs_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TowerSpec(**({"name": "x", "grid_side": 2, "dim": 3} | changes))
