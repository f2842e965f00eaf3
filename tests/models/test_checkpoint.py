import math
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.checkpoint import (
    load_official_checkpoint,
    official_state_dict,
)
from models.configuration import PMCCambrianConfig, TowerSpec
from models.modeling import PMCCambrian
from models.official_config import config_from_official, official_config
from models.official_names import official_key, own_key
from models.presets import preset

Maker = Callable[..., Any]  # its configuration is typed by transformers


def published_names(official: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Names and shapes of cambrian.md section 12, written from its table."""
    h, v, mlp = (official[k] for k in ("hidden_size", "vision_hidden_size", "intermediate_size"))
    kv = h // official["num_attention_heads"] * official["num_key_value_heads"]
    groups, side = official["query_num_list"], official["image_token_len"] ** 0.5
    tokens = official["mm_vision_tower_aux_token_len_list"]
    named: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (official["vocab_size"], h),
        "lm_head.weight": (official["vocab_size"], h),
        "model.norm.weight": (h,),
        "model.mm_projector.0.weight": (h, v * len(groups)),
        "model.mm_projector.0.bias": (h,),
        "model.mm_projector.2.weight": (h, h),
        "model.mm_projector.2.bias": (h,),
        "model.vision_query": (len(groups), v),
        "model.image_newline": (h,),
    }
    for i in range(official["num_hidden_layers"]):
        p = f"model.layers.{i}"
        named |= {f"{p}.self_attn.{x}_proj.weight": (h, h) for x in "qo"}
        named |= {f"{p}.self_attn.{x}_proj.weight": (kv, h) for x in "kv"}
        named |= {f"{p}.mlp.{x}_proj.weight": (mlp, h) for x in ("gate", "up")}
        named |= {f"{p}.mlp.down_proj.weight": (h, mlp)}
        named |= {f"{p}.{x}_layernorm.weight": (h,) for x in ("input", "post_attention")}
    for t, dim in enumerate(official["fake_hidden_sizes"]):
        p = f"model.mm_projector_aux_{t}"
        named |= {f"{p}.0.weight": (v, dim), f"{p}.2.weight": (v, v), f"{p}.3.weight": (v,)}
        named |= {f"{p}.{i}.bias": (v,) for i in (0, 2, 3)}
    layers = [
        (f"model.vision_sampler_{g}.layers.{d}", v, number**0.5)
        for g, number in enumerate(groups)
        for d in range(official["connector_depth"])
    ]
    if not official["connector_only"]:
        layers += [
            (f"model.vision_sampler_layers.{n}.layers.0", h, side)
            for n in range(official["num_of_vision_sampler_layers"])
        ]
    for p, q, query_side in layers:
        named |= {
            f"{p}.proj_context.weight": (v, v),
            f"{p}.proj_in.weight": (v, q + v),
            f"{p}.cross_attn.q_proj.1.weight": (v, v),
            f"{p}.cross_attn.o_proj.weight": (v, v),
            f"{p}.proj_out.linear_1.weight": (v, v),
            f"{p}.proj_out.linear_2.weight": (q, v),
        }
        named |= {f"{p}.{n}.{x}": (v,) for n in ("norm", "cross_attn.q_proj.0") for x in WB}
        for t, number in enumerate(tokens):
            for x in "kv":
                named |= {f"{p}.cross_attn.{x}_proj_{t}.0.{y}": (v,) for y in WB}
                named[f"{p}.cross_attn.{x}_proj_{t}.1.weight"] = (v, v)
            if number > query_side**2:
                named[f"{p}.pos_embed_{t}"] = (int(number / query_side**2), v)
    return named


WB = ("weight", "bias")
CONFIGS = st.builds(
    lambda grids, dims, groups, text, **rest: PMCCambrianConfig(
        [
            TowerSpec(name=f"t{i}", grid_side=4 * grid, dim=dim)
            for i, (grid, dim) in enumerate(zip(grids, dims, strict=True))
        ],
        text,
        query_num_list=groups,
        image_token_len=16,
        **rest,
    ),
    grids=st.lists(st.integers(1, 2), min_size=2, max_size=2),
    dims=st.lists(st.integers(1, 9), min_size=2, max_size=2),
    groups=st.lists(st.sampled_from([1, 4, 16]), min_size=1, max_size=2),
    text=st.fixed_dictionaries(
        {
            "model_type": st.just("llama"),
            "vocab_size": st.integers(20, 60),
            "hidden_size": st.sampled_from([8, 16]),
            "intermediate_size": st.integers(4, 20),
            "num_hidden_layers": st.integers(1, 3),
            "num_attention_heads": st.just(4),
            "num_key_value_heads": st.sampled_from([1, 2, 4]),
            "rope_theta": st.sampled_from([10000.0, 500000.0]),
            "bos_token_id": st.integers(0, 19),
            "eos_token_id": st.lists(st.integers(0, 19), min_size=1, max_size=2),
        }
    ),
    vision_hidden_size=st.sampled_from([16, 32]),
    connector_depth=st.integers(1, 2),
    connector_only=st.booleans(),
    num_samplers=st.integers(0, 4),
    sampler_start=st.integers(0, 3),
    sampler_stride=st.integers(1, 3),
    max_sequence_length=st.integers(100, 5000),
)


@settings(max_examples=15, deadline=None)
@given(config=CONFIGS)
def test_configuration_names_and_weights_go_there_and_back(config: PMCCambrianConfig) -> None:
    official = official_config(config, image_position=5)
    assert config_from_official(official).to_dict() == config.to_dict()
    model = PMCCambrian(config)
    state = official_state_dict(model)
    assert {key: tuple(value.shape) for key, value in state.items()} == published_names(official)
    assert [official_key(own_key(key) or "") for key in state] == list(state)
    again = load_official_checkpoint(state, official).state_dict()
    assert again.keys() == model.state_dict().keys()
    for name, value in model.state_dict().items():
        assert torch.equal(again[name], value), name


def test_8b_has_an_official_configuration_and_towers_have_no_official_name() -> None:
    official = official_config(preset("8b"), image_position=91)
    assert official["mm_vision_tower_aux_token_len_list"] == [576, 576, 576, 9216]
    assert (official["num_of_vision_sampler_layers"], official["image_position"]) == (10, 91)
    assert official["rope_theta"] == 500000.0
    assert config_from_official(official).to_dict() == preset("8b").to_dict() | {
        "tokenizer": "tiny"
    }
    assert official_key("towers.0.backbone.norm.weight") is None
    with pytest.raises(ValueError, match=r"no towers \['tiny-resnet-multi-stage', 'tiny-siglip'"):
        official_config(preset("tiny"), image_position=5)


def test_8b_has_the_weights_of_the_published_table() -> None:
    """Towers, which the table lacks and which take seconds to build, are left out."""
    config = preset("8b")
    features = [
        TowerSpec(name=s.name, grid_side=s.grid_side, dim=s.dim) for s in config.tower_specs
    ]
    config.towers = [asdict(spec) for spec in features]
    official = official_config(config, image_position=91)
    assert official["fake_hidden_sizes"] == [1152, 1024, 1536, 5760]
    with torch.device("meta"):
        model = PMCCambrian(config)
    shapes = {key: tuple(value.shape) for key, value in official_state_dict(model).items()}
    assert shapes == published_names(official)
    assert shapes["model.vision_sampler_layers.9.layers.0.proj_in.weight"] == (1024, 5120)
    assert shapes["model.vision_sampler_0.layers.2.pos_embed_3"] == (16, 1024)
    counts: Counter[str] = Counter()
    for key, shape in shapes.items():
        part = re.sub(r"(_aux)?[_.]\d.*", r"\1", key.removeprefix("model."))
        counts[part] += math.prod(shape)
    language = ("embed_tokens.weight", "layers", "norm.weight", "lm_head.weight")
    assert sum(counts.pop(part) for part in language) == 8_030_261_248  # Llama-3-8B
    # Of a layer with query width q the table gives 13 V² + 2 q V + 36 V, V being 1024.
    layer = {q: 13 * 1024**2 + 2 * q * 1024 + 36 * 1024 for q in (1024, 4096)}
    assert dict(counts) == {
        "mm_projector_aux": 1024 * (1152 + 1024 + 1536 + 5760) + 4 * (1024**2 + 4 * 1024),
        "vision_query": 1024,
        "vision_sampler": 3 * layer[1024],
        "vision_sampler_layers": 10 * layer[4096],
        "mm_projector": 1024 * 4096 + 4096**2 + 2 * 4096,
        "image_newline": 4096,
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"text": {"model_type": "qwen2"}}, "text_config.model_type is 'qwen2', expected 'llama'"),
        ({"text": {"hidden_act": "gelu"}}, "hidden_act is 'gelu'"),
        ({"image_token_id": -201}, "image_token_id is -201"),
    ],
)
def test_what_the_official_code_cannot_say_is_refused(
    changes: dict[str, Any], message: str, small_config: Callable[..., PMCCambrianConfig]
) -> None:
    with pytest.raises(ValueError, match=message):
        official_config(small_config(**changes), image_position=5)


@pytest.mark.parametrize(
    "name", ["rope_theta", "rms_norm_eps", "num_attention_heads", "hidden_size", "connector_depth"]
)
def test_a_key_that_decides_numbers_has_no_default(
    name: str, small_config: Callable[..., PMCCambrianConfig]
) -> None:
    official = official_config(small_config(), image_position=5)
    del official[name]
    with pytest.raises(ValueError, match=f"lacks '{name}'"):
        config_from_official(official)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"mm_vision_tower_aux_token_len_list": [16, 16]},
            "3 towers in mm_vision_tower_aux_list, 2 in mm_vision_tower_aux_token_len_list",
        ),
        ({"fake_hidden_sizes": [6, 5]}, "2 in fake_hidden_sizes"),
        ({"mm_vision_tower_aux_token_len_list": [16, 16, 65]}, "'c' has 65 tokens; expected a sq"),
    ],
)
def test_a_tower_list_that_contradicts_itself_is_refused(
    changes: dict[str, Any], message: str, small_config: Callable[..., PMCCambrianConfig]
) -> None:
    official = official_config(small_config(), image_position=5)
    with pytest.raises(ValueError, match=message):
        config_from_official(official | changes)


def test_a_tower_list_that_differs_from_the_weights_is_refused(small_model: Maker) -> None:
    model = small_model()
    official = official_config(model.config, image_position=5)
    fewer = official | {
        name: official[name][:2]
        for name in (
            "mm_vision_tower_aux_list",
            "mm_vision_tower_aux_token_len_list",
            "fake_hidden_sizes",
        )
    }
    with pytest.raises(ValueError, match=r"unexpected: model\.mm_projector_aux_2\.0\.weight"):
        load_official_checkpoint(official_state_dict(model), fewer)
    swapped = official | {"fake_hidden_sizes": [5, 6, 7]}
    with pytest.raises(ValueError, match=r"mis-shaped: model\.mm_projector_aux_0\.0\.weight is"):
        load_official_checkpoint(official_state_dict(model), swapped)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_weights_that_are_not_finite_are_named(small_model: Maker, value: float) -> None:
    model = small_model()
    state = {key: tensor.clone() for key, tensor in official_state_dict(model).items()}
    state["model.image_newline"][3] = value
    state["lm_head.weight"][0, 0] = value
    with pytest.raises(ValueError, match="2 problems") as error:
        load_official_checkpoint(state, model.config)
    assert "not finite: lm_head.weight holds NaN or infinity" in str(error.value)
    assert "not finite: model.image_newline" in str(error.value)


def test_a_tied_head_is_stored_once_or_twice_alike(small_model: Maker) -> None:
    model = small_model(text={"tie_word_embeddings": True})
    state = {key: tensor.clone() for key, tensor in official_state_dict(model).items()}
    load_official_checkpoint(state, model.config)
    head = state.pop("lm_head.weight")
    loaded: Any = load_official_checkpoint(state, model.config)
    assert torch.equal(loaded.get_output_embeddings().weight, head)
    state["lm_head.weight"] = head + 1
    with pytest.raises(ValueError, match=r"different: lm_head\.weight and model"):
        load_official_checkpoint(state, model.config)
