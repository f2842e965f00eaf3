"""The processor's settings in a model folder: what its prompts and pixels must be at every use."""

import json
from pathlib import Path
from typing import Any

from semihvision.core.errors import InputError

from .official_prompt import OfficialPrompt, read_system_prompt

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


def taken_over(
    folder: str | Path | None,
    *,
    system_prompt: str | None,
    system_prompt_file: str,
    template: str | None,
    preprocessing: str | None,
    other_prompt: bool,
) -> dict[str, Any]:
    """Settings with which training goes on from a model folder, as arguments of the class.

    How long a sequence may be is not among them: that is the new training's own.

    Args:
        folder: The model folder; ``None`` where training starts anew.
        system_prompt: System text; ``None`` for the folder's, or none.
        system_prompt_file: UTF-8 file with that text, in its place; empty for no file.
        template: Style of the template; ``None`` for the folder's, or the default.
        preprocessing: Path of the images; ``None`` for the folder's, or the default.
        other_prompt: Do not hold the prompt to that of the folder's official checkpoint.

    Raises:
        InputError: As in `read_settings`; text and file are both given, or the file is unusable.
    """
    if system_prompt and system_prompt_file:
        raise InputError("system_prompt and system_prompt_file are both given; expected one")
    if system_prompt_file:
        system_prompt = read_system_prompt(system_prompt_file)
    settings = {} if folder is None else read_settings(folder)
    settings.pop("max_length", None)
    if other_prompt:
        settings["official"] = None
    given = {"system_prompt": system_prompt, "template": template, "preprocessing": preprocessing}
    return settings | {name: value for name, value in given.items() if value is not None}
