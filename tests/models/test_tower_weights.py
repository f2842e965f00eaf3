"""Weights of towers: every published layout, the hash, and what is refused."""

import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from timm.layers import resample_abs_pos_embed
from torch import Tensor
from tower_files import assert_holds, published

from models.configuration import TowerSpec
from models.position_tables import resample_position_table, table_side
from models.tower_weights import load_tower_weights
from models.towers import VisionTower
from semihvision.core.errors import InputError

SIZES = {"img_size": 32, "patch_size": 8, "embed_dim": 16, "depth": 2, "num_heads": 2}


def spec(timm_model: str = "vit_tiny_patch16_224", **changes: Any) -> TowerSpec:
    fields: dict[str, Any] = {"timm_kwargs": SIZES, "input_side_px": 32, "grid_side": 4, "dim": 16}
    return TowerSpec(name="small", timm_model=timm_model, **(fields | changes))


@pytest.fixture
def tower() -> VisionTower:
    return VisionTower(spec())


@pytest.fixture
def file(tmp_path: Path, tower: VisionTower) -> Path:
    """Weights of `tower` in timm's names."""
    path = tmp_path / "model.safetensors"
    save_file(published(tower), path)
    return path


def test_a_file_in_timms_names_is_taken_without_its_head(tower: VisionTower, file: Path) -> None:
    loaded = load_tower_weights(tower, str(file))
    assert_holds(tower, load_file(file))
    assert (loaded.source, loaded.layout) == ("model.safetensors", "timm")
    assert loaded.unused == ("head.bias", "head.weight")
    assert not any(parameter.requires_grad for parameter in tower.parameters())


def test_one_hash_whatever_the_file_and_another_for_other_weights(
    tower: VisionTower, file: Path
) -> None:
    weights = {name: value.half().float() for name, value in load_file(file).items()}
    trunk = {name: value for name, value in weights.items() if not name.startswith("head.")}
    text = {"text.token_embedding.weight": torch.ones(2), "logit_scale": torch.tensor(1.0)}
    variants = {
        "single.safetensors": weights,
        "half.safetensors": {name: value.half() for name, value in weights.items()},
        "archive.bin": weights,
        "old.pth": weights,
        "open_clip.bin": {f"visual.trunk.{k}": v for k, v in trunk.items()} | text,
    }
    loaded = {}
    for name, tensors in variants.items():
        path = file.with_name(name)
        if path.suffix == ".safetensors":
            save_file(tensors, path)
        else:
            torch.save(tensors, path, _use_new_zipfile_serialization=path.suffix == ".bin")
        loaded[name] = load_tower_weights(tower, str(path))
        assert_holds(tower, weights)
    assert len({weights.sha256 for weights in loaded.values()}) == 1
    assert loaded["open_clip.bin"].layout == "open_clip"
    assert loaded["open_clip.bin"].unused == ("logit_scale", "text.token_embedding.weight")
    weights["cls_token"][0, 0, 0] += 1
    save_file(weights, file)
    assert load_tower_weights(tower, str(file)).sha256 != loaded["old.pth"].sha256


CLIP = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 8,
}
TEXT = {k: CLIP[k] for k in ("hidden_size", "intermediate_size", "num_attention_heads")} | {
    "num_hidden_layers": 1,
    "vocab_size": 20,
}


def randomised(model: torch.nn.Module) -> Any:
    """transformers starts biases, norms and tables at constants; a wrong map would not show."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return model.eval()


def transformers_clip() -> tuple[Any, TowerSpec, Callable[..., Tensor]]:
    from transformers import CLIPConfig, CLIPModel

    config = CLIPConfig(text_config=TEXT, vision_config=CLIP, projection_dim=8)
    return (
        randomised(CLIPModel(config)),
        spec(
            "vit_base_patch16_clip_quickgelu_224",
            timm_kwargs=SIZES | {"mlp_ratio": 2},
            features="second_last",
        ),
        lambda vision, x: vision(x, output_hidden_states=True).hidden_states[-2][:, 1:],
    )


def transformers_siglip() -> tuple[Any, TowerSpec, Callable[..., Tensor]]:
    from transformers import SiglipConfig, SiglipModel

    kwargs = SIZES | {"mlp_ratio": 2, "global_pool": "", "act_layer": "gelu_tanh"}
    return (
        randomised(SiglipModel(SiglipConfig(text_config=TEXT, vision_config=CLIP))),
        spec("vit_so400m_patch14_siglip_384", timm_kwargs=kwargs),
        lambda vision, x: vision(x).last_hidden_state,
    )


def transformers_dinov2(swiglu: bool) -> tuple[Any, TowerSpec, Callable[..., Tensor]]:
    """Its table is of 7x7 patches, the input of 4x4: transformers 5 resamples by ``size``."""
    from transformers import Dinov2Config, Dinov2Model

    sizes = {k: v for k, v in CLIP.items() if k != "intermediate_size"} | {"image_size": 56}
    # Dinov2Model names its hidden SwiGLU channels by itself: 8 * ceil(2/3 * 4 * 16 / 8) = 48.
    kwargs = SIZES | {"mlp_ratio": 6 if swiglu else 4}
    timm_model = "vit_giant_patch14_dinov2" if swiglu else "vit_small_patch14_dinov2"
    return (
        randomised(Dinov2Model(Dinov2Config(**sizes, use_swiglu_ffn=swiglu))),
        spec(timm_model, timm_kwargs=kwargs, position_rule="size"),
        lambda model, x: model(x).last_hidden_state[:, 1:],
    )


@pytest.mark.parametrize(
    ("make", "layout"),
    [
        (transformers_clip, "transformers_clip"),
        (transformers_siglip, "transformers_clip"),
        (lambda: transformers_dinov2(True), "transformers_dinov2"),
        (lambda: transformers_dinov2(False), "transformers_dinov2"),
    ],
    ids=["clip", "siglip", "dinov2-giant", "dinov2-small"],
)
def test_files_as_transformers_writes_them_give_its_features(
    make: Callable[[], Any], layout: str, tmp_path: Path
) -> None:
    model, made, features = make()
    model.save_pretrained(tmp_path)
    tower, pixels = VisionTower(made), torch.randn(2, 3, 32, 32)
    loaded = load_tower_weights(tower, str(tmp_path / "model.safetensors"))
    assert loaded.layout == layout
    with torch.no_grad():
        expected = features(getattr(model, "vision_model", model), pixels)
    torch.testing.assert_close(tower(pixels), expected, atol=1e-4, rtol=0)


def test_convnexts_open_clip_names_are_taken(tmp_path: Path) -> None:
    kwargs = {"depths": [1, 1, 1, 1], "dims": [8, 8, 8, 8]}
    made = spec("convnext_xxlarge", timm_kwargs=kwargs, features="stages", dim=32)
    tower = VisionTower(made)
    weights = {k: torch.randn_like(v) for k, v in tower.backbone.state_dict().items()}
    text = ("positional_embedding", "transformer.resblocks.0.ln_1.bias", "ln_final.bias")
    others = dict.fromkeys((*text, "visual.head.mlp.fc1.weight"), torch.ones(2))
    torch.save({f"visual.trunk.{k}": v for k, v in weights.items()} | others, tmp_path / "x.bin")
    loaded = load_tower_weights(tower, str(tmp_path / "x.bin"))
    assert_holds(tower, weights)
    assert set(loaded.unused) == set(others)


@given(own=st.integers(1, 9), wanted=st.integers(1, 9), prefix=st.integers(0, 5))
@settings(deadline=None, max_examples=40)
def test_a_resampled_table_keeps_its_prefix_and_its_own_grid(
    own: int, wanted: int, prefix: int
) -> None:
    table = torch.randn(1, prefix + own**2, 3)
    for rule in ("scale_factor", "size", "antialias"):
        result = resample_position_table(table, wanted, num_prefix=prefix, rule=rule)  # type: ignore[arg-type]
        assert result.shape == (1, prefix + wanted**2, 3)
        assert torch.equal(result[:, :prefix], table[:, :prefix])
        if own == wanted:
            assert result is table
    timms = resample_abs_pos_embed(table, [wanted, wanted], num_prefix_tokens=prefix)
    antialiased = resample_position_table(table, wanted, num_prefix=prefix, rule="antialias")
    torch.testing.assert_close(antialiased, timms)


def test_the_official_rule_samples_at_steps_that_are_a_little_too_small() -> None:
    """A table that rises by 1 a column shows where a rule samples: at (i + 0.5) * step - 0.5."""
    ramp = torch.arange(37.0).expand(37, 37).reshape(1, 37 * 37, 1)
    official, plain = (
        resample_position_table(ramp, 27, num_prefix=0, rule=rule).reshape(27, 27)[13]  # type: ignore[arg-type]
        for rule in ("scale_factor", "size")
    )
    # Bicubic interpolation is not exact on a ramp, hence the tolerance.
    expected = (torch.arange(27) + 0.5) * (37 / 27 - 37 / 27.1)
    torch.testing.assert_close((plain - official)[2:-4], expected[2:-4], atol=0.03, rtol=0)


def test_a_table_that_is_no_square_is_refused() -> None:
    with pytest.raises(ValueError, match=r"11 rows besides 1 prefix rows; expected a square"):
        table_side(torch.zeros(1, 12, 4), 1)


def test_a_table_of_another_grid_needs_a_rule(tmp_path: Path) -> None:
    larger = VisionTower(spec(timm_kwargs=SIZES | {"img_size": 56}, input_side_px=56))
    weights = published(larger)
    save_file(weights, tmp_path / "x.safetensors")
    with pytest.raises(InputError, match=r"1 mis-shaped \(pos_embed \[1, 50, 16\] instead of \[1"):
        load_tower_weights(VisionTower(spec()), str(tmp_path / "x.safetensors"))
    tower = VisionTower(spec(position_rule="antialias"))
    loaded = load_tower_weights(tower, str(tmp_path / "x.safetensors"))
    expected = resample_abs_pos_embed(weights["pos_embed"], [4, 4], num_prefix_tokens=1)
    torch.testing.assert_close(tower.backbone.pos_embed.data, expected)
    assert loaded.sha256 == load_tower_weights(larger, str(tmp_path / "x.safetensors")).sha256


def test_weights_are_stored_in_the_towers_dtype(file: Path, tower: VisionTower) -> None:
    half = VisionTower(spec(dtype="bfloat16"))
    assert load_tower_weights(half, str(file)).sha256 == load_tower_weights(tower, str(file)).sha256
    assert torch.equal(half.backbone.cls_token, tower.backbone.cls_token.bfloat16())


def refused(tower: VisionTower, path: Path, message: str) -> None:
    before = {name: value.clone() for name, value in tower.backbone.state_dict().items()}
    with pytest.raises(InputError, match=message) as refusal:
        load_tower_weights(tower, str(path))
    assert path.name in str(refusal.value)
    assert_holds(tower, before)


def test_missing_unexpected_and_misshapen_weights_are_all_listed(
    tower: VisionTower, file: Path
) -> None:
    weights = load_file(file)
    del weights["norm.weight"]
    weights |= {"blocks.7.norm1.weight": torch.ones(16), "blocks.1.norm1.bias": torch.ones(15)}
    save_file(weights, file)
    missing = r"tower 'small'.*1 missing \(norm.weight\); "
    unexpected = r"1 unexpected \(blocks.7.norm1.weight\); "
    misshapen = r"1 mis-shaped \(blocks.1.norm1.bias \[15\] instead of \[16\]\)"
    refused(tower, file, missing + unexpected + misshapen)


def test_a_long_list_says_how_many_there_are(tower: VisionTower, tmp_path: Path) -> None:
    save_file({"pos_embed": torch.zeros(()), "x": torch.ones(1)}, tmp_path / "x.safetensors")
    count = len(tower.backbone.state_dict()) - 1
    refused(
        tower, tmp_path / "x.safetensors", rf"{count} missing \(.*, \.\.\.\).*pos_embed \[\] in"
    )


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_nan_and_infinity_are_refused_by_name(value: float, tower: VisionTower, file: Path) -> None:
    weights = load_file(file)
    weights["blocks.1.attn.qkv.weight"][3, 2] = value
    save_file(weights, file)
    refused(tower, file, r"blocks\.1\.attn\.qkv\.weight holds NaN or infinity")


def test_values_beyond_the_towers_dtype_are_refused(file: Path, tower: VisionTower) -> None:
    weights = load_file(file)
    weights["blocks.0.mlp.fc1.bias"][0] = 7e4
    save_file(weights, file)
    load_tower_weights(tower, str(file))
    half = VisionTower(spec(dtype="float16"))
    refused(
        half, file, r"blocks\.0\.mlp\.fc1\.bias holds values beyond float16; give tower 'small'"
    )


class Thief:
    """What a hostile checkpoint runs when it is unpickled without care."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return (Path.touch, (Path("stolen"),))  # type: ignore[return-value]


def test_damaged_and_hostile_files_are_refused(
    tower: VisionTower, file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    file.write_bytes(file.read_bytes()[:-100])
    refused(tower, file, "cannot be read as weights")
    archive = tmp_path / "hostile.bin"
    torch.save({"cls_token": Thief()}, archive)
    refused(tower, archive, "cannot be read as weights")
    archive.write_bytes(pickle.dumps({"cls_token": Thief()}, protocol=2))
    refused(tower, archive, "cannot be read as weights")
    assert not (tmp_path / "stolen").exists()
    torch.save({"model": {"cls_token": torch.ones(1)}}, archive)
    refused(tower, archive, "expected names and tensors only")
    archive.rename(tmp_path / "weights.h5")
    refused(tower, tmp_path / "weights.h5", "expected a file that ends in .safetensors or one of")


@pytest.mark.parametrize("source", ["nowhere.bin", "", ".", "facebook/dinov2-giant"])
def test_a_name_that_is_neither_file_nor_hubs_is_refused(source: str, tower: VisionTower) -> None:
    with pytest.raises(InputError, match=rf"'{source}' is neither a file nor a name of timm's"):
        load_tower_weights(tower, source)


def test_without_the_hub_the_message_says_which_file_to_fetch(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    dinov2 = TowerSpec(
        name="facebook/dinov2-giant-res378", timm_model="vit_tiny_patch16_224", grid_side=2, dim=3
    )
    expected = re.escape(
        "fetch the file model.safetensors of the Hugging Face repository "
        "timm/vit_giant_patch14_dinov2.lvd142m on a machine that reaches it, and give its path: "
        "tower_weights: {facebook/dinov2-giant-res378: PATH}"
    )
    with pytest.raises(InputError, match=expected):
        load_tower_weights(VisionTower(dinov2), "vit_giant_patch14_dinov2.lvd142m")


def test_a_hub_name_is_read_from_the_hubs_cache(
    monkeypatch: pytest.MonkeyPatch, tower: VisionTower, file: Path
) -> None:
    asked = []

    def download(repository: str, name: str) -> str:
        asked.append((repository, name))
        return str(file)

    monkeypatch.setattr("models.tower_weights._download", download)
    loaded = load_tower_weights(tower, "vit_small_patch16_224.augreg_in1k")
    assert asked == [("timm/vit_small_patch16_224.augreg_in1k", "model.safetensors")]
    assert loaded.source == "vit_small_patch16_224.augreg_in1k"
    assert_holds(tower, load_file(file))


@pytest.mark.parametrize("device", ["meta", None])
def test_a_tower_without_memory_takes_no_weights(device: str | None, file: Path) -> None:
    with torch.device("meta"):
        tower = VisionTower(spec(None if device is None else "vit_tiny_patch16_224"))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="has no timm model or is on the meta device"):
        load_tower_weights(tower, str(file))
