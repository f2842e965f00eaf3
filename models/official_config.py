"""Configurations: the keys of an official Cambrian-1 ``config.json`` and ours, both ways.

Source: cambrian.md sections 1 and 12.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

from .configuration import PMCCambrianConfig, TowerSpec
from .presets import OFFICIAL_TOWERS

_REQUIRED_DECODER_FIELDS = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "rms_norm_eps",
    "rope_theta",
)
"""Without one of them a decoder of other numbers would be built, mostly of the same shapes."""
_DECODER_FIELDS = (
    *_REQUIRED_DECODER_FIELDS,
    "num_key_value_heads",
    "max_position_embeddings",
    "attention_bias",
    "tie_word_embeddings",
)
_SPECIAL_IDS = ("bos_token_id", "eos_token_id", "pad_token_id")
_SCHEDULE = {
    "num_samplers": "num_of_vision_sampler_layers",
    "sampler_start": "start_of_vision_sampler_layers",
    "sampler_stride": "stride_of_vision_sampler_layers",
}
_ONLY: dict[str, Any] = {
    "mm_projector_type": "sva",
    "mm_use_im_start_end": False,
    "image_aspect_ratio": "pad",
    "mm_vision_select_layer": -2,
    "mm_vision_select_feature": "patch",
    "rope_scaling": None,
    "hidden_act": "silu",
    "mlp_bias": False,
}
"""Official settings that this model knows one value of; an absent key has that value."""


def config_from_official(official: Mapping[str, Any]) -> PMCCambrianConfig:
    """Our configuration for the keys of an official ``config.json``.

    Args:
        official: Official keys. ``fake_hidden_sizes`` (golden files) stands for towers that exist
            only as precomputed features of these widths.

    Raises:
        ValueError: A key is absent, a tower is not one of the published ones, or a setting asks
            for what this model does not do.
    """
    _refuse_other_designs(official)
    try:
        towers, connector_only = _towers(official), official["connector_only"]
        schedule = {
            own: official[name]
            for own, name in _SCHEDULE.items()
            if name in official or not connector_only
        }
        return PMCCambrianConfig(
            [*towers],
            {
                "model_type": "llama",
                **{name: official.get(name) for name in _SPECIAL_IDS},
                **{name: official[name] for name in _REQUIRED_DECODER_FIELDS},
                **{name: official[name] for name in _DECODER_FIELDS if name in official},
            },
            vision_hidden_size=official["vision_hidden_size"],
            query_num_list=official["query_num_list"],
            image_token_len=official["image_token_len"],
            connector_depth=official["connector_depth"],
            connector_only=connector_only,
            max_sequence_length=official.get("tokenizer_model_max_length") or 2048,
            **schedule,
        )
    except KeyError as error:
        raise ValueError(
            f"official configuration lacks {error.args[0]!r}; expected the keys of a Cambrian-1 "
            "config.json"
        ) from None


def official_config(config: PMCCambrianConfig, *, image_position: int) -> dict[str, Any]:
    """The keys of an official ``config.json`` for our configuration.

    Args:
        config: With published towers, or with towers that exist as precomputed features only.
        image_position: Index of the placeholder in every prompt, which the official samplers need
            and ours do not: 91 for the 8B.

    Raises:
        ValueError: The official code has no such model.
    """
    text = config.text_config.to_dict()
    rope = text.get("rope_parameters") or {}
    refused = [
        f"{name} is {found!r}, expected {expected!r}"
        for name, found, expected in (
            ("text_config.model_type", text["model_type"], "llama"),
            ("rope_type", rope.get("rope_type", "default"), "default"),
            ("hidden_act", text.get("hidden_act"), "silu"),
            ("mlp_bias", text.get("mlp_bias"), False),
            ("image_token_id", config.image_token_id, -200),
            ("ignore_index", config.ignore_index, -100),
        )
        if found != expected
    ]
    if refused:
        raise ValueError("the official code has no such model: " + "; ".join(refused))
    text["rope_theta"] = rope.get("rope_theta", text.get("rope_theta"))
    return {
        "model_type": "cambrian_llama",
        **{name: text[name] for name in (*_DECODER_FIELDS, *_SPECIAL_IDS)},
        **{name: value for name, value in _ONLY.items() if name.startswith(("mm_", "image_"))},
        **_official_towers(config.tower_specs),
        "vision_hidden_size": config.vision_hidden_size,
        "num_query_group": len(config.query_num_list),
        "query_num_list": list(config.query_num_list),
        "image_token_len": config.image_token_len,
        "connector_depth": config.connector_depth,
        "connector_only": config.connector_only,
        **{name: getattr(config, own) for own, name in _SCHEDULE.items()},
        "image_position": image_position,
        "mm_use_im_patch_token": False,
        "tokenizer_model_max_length": config.max_sequence_length,
        "tokenizer_padding_side": "right",
    }


def _refuse_other_designs(official: Mapping[str, Any]) -> None:
    """Raises for settings that change the official model and that this one does not have."""
    wrong = [
        f"{name} is {official[name]!r}, expected {only!r}"
        for name, only in _ONLY.items()
        if official.get(name, only) != only
    ]
    groups, sizes = official.get("num_query_group"), official.get("query_num_list", [])
    if groups is not None and groups != len(sizes):
        wrong.append(f"num_query_group is {groups}, but query_num_list has {len(sizes)} entries")
    if wrong:
        raise ValueError("official configuration: " + "; ".join(wrong))


def _towers(official: Mapping[str, Any]) -> list[TowerSpec]:
    names = official["mm_vision_tower_aux_list"]
    tokens = official["mm_vision_tower_aux_token_len_list"]
    widths = official.get("fake_hidden_sizes", names)
    if not len(names) == len(tokens) == len(widths):
        raise ValueError(
            f"official configuration: {len(names)} towers in mm_vision_tower_aux_list, "
            f"{len(tokens)} in mm_vision_tower_aux_token_len_list"
            + f", {len(widths)} in fake_hidden_sizes"
            * ("fake_hidden_sizes" in official)
        )
    towers = []
    for name, number, width in zip(names, tokens, widths, strict=True):
        side = math.isqrt(number)
        if side**2 != number:
            raise ValueError(f"tower {name!r} has {number} tokens; expected a square number")
        if "fake_hidden_sizes" in official:
            towers.append(TowerSpec(name=name, grid_side=side, dim=width))
            continue
        published = re.sub(r"-interp\d+", "", name)
        if published not in OFFICIAL_TOWERS:
            known = ", ".join(OFFICIAL_TOWERS)
            raise ValueError(f"unknown vision tower {name!r}; the published ones are {known}")
        towers.append(OFFICIAL_TOWERS[published](side))
    return towers


def _official_towers(specs: tuple[TowerSpec, ...]) -> dict[str, Any]:
    listed: dict[str, Any] = {
        "mm_vision_tower_aux_list": [spec.name for spec in specs],
        "mm_vision_tower_aux_token_len_list": [spec.grid_side**2 for spec in specs],
    }
    if all(spec == TowerSpec(name=spec.name, grid_side=spec.grid_side, dim=spec.dim)
           for spec in specs):  # fmt: skip
        return {**listed, "fake_hidden_sizes": [spec.dim for spec in specs]}
    foreign = [
        spec.name
        for spec in specs
        if spec.name not in OFFICIAL_TOWERS or spec != OFFICIAL_TOWERS[spec.name](spec.grid_side)
    ]
    if foreign:
        raise ValueError(
            f"the official code has no towers {foreign}; the published ones are "
            + ", ".join(OFFICIAL_TOWERS)
        )
    return listed
