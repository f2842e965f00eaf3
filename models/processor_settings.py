"""The processor's settings in a model folder: what its prompts and pixels must be at every use."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from semihvision.core.errors import InputError
from semihvision.core.files import write_text_atomically
from semihvision.core.reasons import in_words

from .configuration import PMCCambrianConfig
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
            f"{path}: the processor's settings cannot be read ({in_words(error)}); expected "
            "a model folder as training writes it"
        ) from None


def write_settings(
    folder: str | Path,
    *,
    system_prompt: str,
    template: str,
    max_length: int,
    preprocessing: str,
    official: OfficialPrompt | None,
) -> None:
    """Writes what `read_settings` reads.

    Args:
        folder: The model folder.
        system_prompt: System text; empty for none.
        template: Style of the template.
        max_length: Longest sequence in tokens, images expanded.
        preprocessing: Path of the images.
        official: What the prompt must be; ``None`` for own weights.
    """
    settings: dict[str, Any] = {
        "system_prompt": system_prompt,
        "template": template,
        "max_length": max_length,
        "preprocessing": preprocessing,
    }
    if official is not None:
        settings["official"] = asdict(official)
    text = json.dumps(settings, indent=2, ensure_ascii=False) + "\n"
    write_text_atomically(Path(folder) / SETTINGS_FILE, text)


def settings_for_use(
    folder: str | Path,
    *,
    system_prompt: str | None,
    other_prompt: bool,
    max_length: int | None,
) -> dict[str, Any]:
    """A folder's settings with what its user wants otherwise, as arguments of the class.

    Args:
        folder: The model folder.
        system_prompt: System text in place of the folder's; ``None`` for the folder's.
        other_prompt: Do not hold the prompt to that of the folder's official checkpoint.
        max_length: Longest sequence in tokens in place of the folder's, at most the positions that
            the decoder knows; ``None`` for the folder's.

    Raises:
        InputError: As in `read_settings`, or ``max_length`` is out of range.
    """
    settings = read_settings(folder)
    if other_prompt:
        settings["official"] = None
    if system_prompt is not None:
        settings["system_prompt"] = system_prompt
    if max_length is not None:
        limit = PMCCambrianConfig.from_folder(folder).text_config.max_position_embeddings
        if not 1 <= max_length <= limit:
            raise InputError(
                f"max_length {max_length}: expected 1 to {limit}, the positions that this model "
                "knows"
            )
        settings["max_length"] = max_length
    return settings


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
