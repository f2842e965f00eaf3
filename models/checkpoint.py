"""Official Cambrian-1 checkpoints into `PMCCambrian`: key names, configuration, strict loading.

Source: cambrian.md sections 1 and 12. Official checkpoints hold no towers; a tower keeps the
weights it is built with until its own public weights are loaded.
"""

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from .configuration import PMCCambrianConfig, TowerSpec
from .modeling import PMCCambrian
from .presets import OFFICIAL_TOWERS

_RENAMES = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"^(lm_head\.|model\.(?:embed_tokens|layers|norm)\.)", r"language_model.\1"),
        (r"^model\.mm_projector_aux_(\d+)\.", r"projectors.\1."),
        (r"^model\.mm_projector\.", "mm_projector."),
        (r"^model\.vision_query$", "query"),
        (r"^model\.image_newline$", "newline"),
        (r"^model\.vision_sampler_(\d+)\.layers\.(\d+)\.", r"connector.\1.\2."),
        (r"^model\.vision_sampler_layers\.(\d+)\.layers\.0\.", r"samplers.\1."),
    )
)
_LAYER_RENAMES = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"\.cross_attn\.([kv])_proj_(\d+)\.", r".\1_proj.\2."),
        (r"\.cross_attn\.([qo])_proj\.", r".\1_proj."),
        (r"\.pos_embed_(\d+)$", r".pos_embed.\1"),
        (r"\.proj_out\.linear_1\.", ".proj_out.0."),
        (r"\.proj_out\.linear_2\.", ".proj_out.2."),
    )
)
_DECODER_FIELDS = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "max_position_embeddings",
    "rms_norm_eps",
    "rope_theta",
    "attention_bias",
    "tie_word_embeddings",
)
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


def own_key(official_key: str) -> str | None:
    """Our name of an official weight; ``None`` for a name that the official layout lacks."""
    for pattern, replacement in _RENAMES:
        key, found = pattern.subn(replacement, official_key)
        if found:
            break
    else:
        return None
    if key.startswith(("connector.", "samplers.")):
        for pattern, replacement in _LAYER_RENAMES:
            key = pattern.sub(replacement, key)
    return key


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
        towers = _official_towers(official)
        return PMCCambrianConfig(
            towers,
            {
                "model_type": "llama",
                "bos_token_id": official.get("bos_token_id"),
                "eos_token_id": official.get("eos_token_id"),
                "pad_token_id": official.get("pad_token_id"),
                **{name: official[name] for name in _DECODER_FIELDS if name in official},
            },
            vision_hidden_size=official["vision_hidden_size"],
            query_num_list=official["query_num_list"],
            image_token_len=official["image_token_len"],
            connector_depth=official["connector_depth"],
            connector_only=official["connector_only"],
            **({} if official["connector_only"] else _sampler_schedule(official)),
            max_sequence_length=official.get("tokenizer_model_max_length", 2048),
        )
    except KeyError as error:
        raise ValueError(
            f"official configuration lacks {error.args[0]!r}; expected the keys of a Cambrian-1 "
            "config.json"
        ) from None


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


def _sampler_schedule(official: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "num_samplers": official["num_of_vision_sampler_layers"],
        "sampler_start": official["start_of_vision_sampler_layers"],
        "sampler_stride": official["stride_of_vision_sampler_layers"],
    }


def _official_towers(official: Mapping[str, Any]) -> list[TowerSpec | dict[str, Any]]:
    names = official["mm_vision_tower_aux_list"]
    sides = [round(n**0.5) for n in official["mm_vision_tower_aux_token_len_list"]]
    if "fake_hidden_sizes" in official:
        return [
            TowerSpec(name=name, grid_side=side, dim=dim)
            for name, side, dim in zip(names, sides, official["fake_hidden_sizes"], strict=True)
        ]
    towers: list[TowerSpec | dict[str, Any]] = []
    for name, side in zip(names, sides, strict=True):
        published = re.sub(r"-interp\d+", "", name)
        if published not in OFFICIAL_TOWERS:
            known = ", ".join(OFFICIAL_TOWERS)
            raise ValueError(f"unknown vision tower {name!r}; the published ones are {known}")
        towers.append(OFFICIAL_TOWERS[published](side))
    return towers


def load_official_checkpoint(
    state_dict: Mapping[str, Tensor], config: PMCCambrianConfig | Mapping[str, Any]
) -> PMCCambrian:
    """A model with the weights of an official checkpoint.

    Args:
        state_dict: Official key names -> tensors.
        config: Our configuration, or the keys of the official ``config.json``.

    Returns:
        The model in evaluation mode; its towers, absent from official checkpoints, are as built.

    Raises:
        ValueError: Keys are missing, unexpected or mis-shaped; all of them are listed.
    """
    if not isinstance(config, PMCCambrianConfig):
        config = config_from_official(config)
    model = PMCCambrian(config)
    own = {key: value for key, value in model.state_dict().items() if not key.startswith("towers.")}
    renamed: dict[str, Tensor] = {}
    problems: list[str] = []
    for key, value in state_dict.items():
        name = own_key(key)
        if name is None or name not in own:
            problems.append(f"unexpected: {key}")
            continue
        if own[name].shape != value.shape:
            found, expected = tuple(value.shape), tuple(own[name].shape)
            problems.append(f"mis-shaped: {key} is {found}, expected {expected}")
        renamed[name] = value
    problems.extend(f"missing: {name} (our name)" for name in own.keys() - renamed.keys())
    if problems:
        raise ValueError(
            f"the checkpoint does not fit the configuration ({len(problems)} problems):\n  "
            + "\n  ".join(sorted(problems))
        )
    with torch.no_grad():
        for name, value in renamed.items():
            own[name].copy_(value)
    model.eval()  # type: ignore[no-untyped-call]
    return model
