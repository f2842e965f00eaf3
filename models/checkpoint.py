"""Weights between official Cambrian-1 checkpoints and `PMCCambrian`: strict, in both directions.

Official checkpoints hold no towers: a tower keeps the weights it is built with until
`models.tower_weights` gives it its own, and `official_state_dict` leaves towers out.

Source: cambrian.md section 12.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from .configuration import PMCCambrianConfig
from .loading import not_finite
from .modeling import PMCCambrian
from .official_config import config_from_official
from .official_names import official_key, own_key


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
        ValueError: Keys are missing, unexpected or mis-shaped, weights hold NaN or infinity, or
            two names of one tied weight hold different values; all of them are listed.
    """
    if not isinstance(config, PMCCambrianConfig):
        config = config_from_official(config)
    model = PMCCambrian(config)
    shapes = {key: tuple(value.shape) for key, value in state_dict.items()}
    names = match_names(shapes, model)
    _copy(model, {names[key]: value for key, value in state_dict.items()}, names)
    model.eval()  # type: ignore[no-untyped-call]
    return model


def official_state_dict(model: PMCCambrian) -> dict[str, Tensor]:
    """A model's weights under their official names; towers, which have none, are left out.

    Args:
        model: Not sharded.
    """
    named = ((official_key(key), value) for key, value in model.state_dict().items())
    return {key: value for key, value in named if key is not None}


def match_names(shapes: Mapping[str, tuple[int, ...]], model: PMCCambrian) -> dict[str, str]:
    """Official name -> our name for every weight, or a list of what does not fit.

    Args:
        shapes: Official names -> shapes.
        model: On any device, ``meta`` included.

    Raises:
        ValueError: Names are missing or unexpected, or shapes are others.
    """
    own = {
        name: tuple(value.shape)
        for name, value in model.state_dict().items()
        if official_key(name) is not None
    }
    names: dict[str, str] = {}
    problems = []
    for key, found in shapes.items():
        name = own_key(key)
        if name is None or name not in own:
            problems.append(f"unexpected: {key}")
            continue
        if own[name] != found:
            problems.append(f"mis-shaped: {key} is {found}, expected {own[name]}")
        names[key] = name
    # Of tied weights one may be stored for all.
    absent = own.keys() - names.values() - _tied(model).keys()
    problems.extend(f"missing: {official_key(name)}" for name in absent)
    refuse(problems)
    return names


def refuse(problems: Iterable[str]) -> None:
    """Raises a ValueError that lists problems, if there are any."""
    listed = sorted(problems)
    if listed:
        raise ValueError(
            f"the checkpoint does not fit the configuration ({len(listed)} problems):\n  "
            + "\n  ".join(listed)
        )


def _tied(model: PMCCambrian) -> dict[str, str]:
    """Our names of weights that are another one -> that one."""
    tied: dict[str, str] = getattr(model, "all_tied_weights_keys", {})
    return tied


def _copy(model: PMCCambrian, values: Mapping[str, Tensor], names: Mapping[str, str]) -> None:
    """Copies checked values into the model; nothing is copied if one of them is refused."""
    problems = [p for key, name in names.items() for p in not_finite(key, values[name])]
    for name, other in _tied(model).items():
        if name in values and other in values and not torch.equal(values[name], values[other]):
            problems.append(f"different: {official_key(name)} and {official_key(other)} are tied")
    refuse(problems)
    state = model.state_dict()
    with torch.no_grad():
        for name, value in values.items():
            state[name].copy_(value)
