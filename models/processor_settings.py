"""The processor's settings in a model folder: what its prompts and pixels must be at every use."""

import json
from pathlib import Path
from typing import Any

from semihvision.core.errors import InputError

from .official_prompt import OfficialPrompt

SETTINGS_FILE = "processing.json"
"""Settings of the processor beside a model's weights."""


def read_settings(folder: str | Path) -> dict[str, Any]:
    """The processor's settings in a model folder, as arguments of the class.

    Folders from before a setting existed have its default.

    Args:
        folder: The model folder.

    Raises:
        InputError: The file is missing or not what `save_pretrained` writes.
    """
    path = Path(folder) / SETTINGS_FILE
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
        official = settings.get("official")
        return {
            "system_prompt": str(settings["system_prompt"]),
            "template": settings.get("template", "cambrian"),
            "max_length": int(settings["max_length"]),
            # Folders written before there was a choice were trained on the reference path.
            "preprocessing": settings.get("preprocessing", "reference"),
            "official": None if official is None else OfficialPrompt(**official),
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path}: {type(error).__name__} while reading the processor's settings; expected "
            "a model folder as training writes it"
        ) from None


def official_prompt_of(folder: str | Path | None) -> OfficialPrompt | None:
    """What a model folder says of the prompt of the official checkpoint it was made from, if any.

    Args:
        folder: The model folder; ``None`` for no folder.

    Raises:
        InputError: As in `read_settings`.
    """
    return None if folder is None else read_settings(folder)["official"]
