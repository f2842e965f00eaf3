"""Loading a model folder strictly: no weight is made up, and what is wrong is said."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from semihvision.core.errors import InputError

_WRONG_KEYS = ("missing_keys", "unexpected_keys", "mismatched_keys")


def load_model(
    load: Callable[..., Any],
    config_class: Any,
    folder: str | Path,
    arguments: tuple[Any, ...],
    settings: dict[str, Any],
) -> Any:
    """The model of a folder, its towers frozen.

    Args:
        load: ``PreTrainedModel.from_pretrained`` of the model's class.
        config_class: Reads the folder's configuration where ``settings`` bring none.
        folder: As `save_pretrained` wrote it.
        arguments: For ``load``.
        settings: Likewise; with ``output_loading_info`` also what that tells is returned.

    Raises:
        InputError: No such folder, files damaged, or they lack weights, hold others (none is ever
            made up), or hold NaN or infinity.
    """
    wants_info = settings.pop("output_loading_info", False)
    if "config" not in settings:  # the automatic classes bring it, also from a hub
        settings["config"] = config_class.from_folder(folder)
    loaded = load_strictly(
        partial(load, folder, *arguments, **settings, output_loading_info=True), folder
    )
    # Loading replaces parameters by new ones that require gradients.
    loaded[0].towers.requires_grad_(False)
    return loaded if wants_info else loaded[0]


def load_strictly(load: Callable[[], tuple[Any, dict[str, Any]]], folder: str | Path) -> Any:
    """Loads a model and makes sure that its weights are all there and no others.

    Args:
        load: Loads the model and tells which keys did not fit, as transformers does with
            ``output_loading_info``.
        folder: Named in messages.

    Returns:
        What ``load`` returned.

    Raises:
        InputError: No such folder, files damaged, or they lack weights, hold others, or hold NaN
            or infinity.
    """
    try:
        loaded = load()
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise InputError(
            f"{folder}: this model folder cannot be loaded ({error}); "
            "expected one as `semihvision fit` writes it, complete and unchanged"
        ) from error
    info = loaded[1]
    wrong = {kind: sorted(map(str, info[kind])) for kind in _WRONG_KEYS if info[kind]}
    if wrong:
        raise InputError(
            f"{folder}: this model folder cannot be loaded (its weights do not fit its "
            f"configuration: {wrong})"
        )
    problems = [p for name, v in loaded[0].state_dict().items() for p in not_finite(name, v)]
    if problems:
        raise InputError(
            f"{folder}: {'; '.join(problems)}. Fetch or make the folder again; the run that wrote "
            "it has failed, or the files are damaged"
        )
    return loaded


def not_finite(key: str, value: Tensor) -> list[str]:
    """What is wrong with the values of a weight, in a list of at most one."""
    if not value.is_floating_point() or value.is_meta:
        return []
    # NaN and infinity survive in a sum, which needs one pass and no memory. That of large values
    # may overflow, so a suspicion is looked into.
    if torch.isfinite(value.sum(dtype=torch.float32)) or bool(torch.isfinite(value).all()):
        return []
    return [f"not finite: {key} holds NaN or infinity"]
