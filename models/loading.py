"""Loading a model folder strictly: no weight is made up, and what is wrong is said."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from semihvision.core.errors import InputError

_WRONG_KEYS = ("missing_keys", "unexpected_keys", "mismatched_keys")


def load_strictly(load: Callable[[], tuple[Any, dict[str, Any]]], folder: str | Path) -> Any:
    """Loads a model and makes sure that its weights are all there and no others.

    Args:
        load: Loads the model and tells which keys did not fit, as transformers does with
            ``output_loading_info``.
        folder: Named in messages.

    Returns:
        What ``load`` returned.

    Raises:
        InputError: No such folder, files damaged, or they lack weights or hold others.
    """
    try:
        loaded = load()
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise InputError(
            f"{folder}: this model folder cannot be loaded ({type(error).__name__}: {error}); "
            "expected one as `semihvision fit` writes it, complete and unchanged"
        ) from error
    info = loaded[1]
    wrong = {kind: sorted(map(str, info[kind])) for kind in _WRONG_KEYS if info[kind]}
    if wrong:
        raise InputError(
            f"{folder}: this model folder cannot be loaded (its weights do not fit its "
            f"configuration: {wrong})"
        )
    return loaded
