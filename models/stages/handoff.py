"""From one stage to the next: a model folder goes in, and is refused if it does not fit."""

import json
from pathlib import Path
from typing import Any

from models.configuration import PMCCambrianConfig
from semihvision.core.errors import InputError

LINEAGE_FILE = "lineage.json"
"""Beside the weights: the stages a model went through, first to last."""


def check_handoff(folder: Path, *, wanted: PMCCambrianConfig) -> None:
    """Refuses a model folder whose towers, tokenizer or sizes are not those the stage expects.

    Args:
        folder: Model folder of the stage before.
        wanted: Configuration of this stage's preset.

    Raises:
        InputError: No such folder, or a difference; all differences are listed.
    """
    if not (folder / "config.json").is_file():
        raise InputError(
            f"init_from: {folder} holds no model (no config.json); expected the model folder that "
            "the stage before wrote, or leave init_from empty to start from the preset"
        )
    found = PMCCambrianConfig.from_pretrained(folder)
    differences = _tower_differences(found, wanted)
    compared = ("tokenizer", "vision_hidden_size", "query_num_list", "image_token_len")
    for name in compared:
        if getattr(found, name) != getattr(wanted, name):
            differences.append(f"{name} {getattr(found, name)!r}, not {getattr(wanted, name)!r}")
    for name in ("vocab_size", "hidden_size", "num_hidden_layers"):
        ours, theirs = getattr(wanted.text_config, name), getattr(found.text_config, name)
        if ours != theirs:
            differences.append(f"language model {name} {theirs}, not {ours}")
    if differences:
        raise InputError(
            f"init_from: the model in {folder} does not fit this stage's preset: it has "
            + "; ".join(differences)
            + ". Use the preset it was trained with, or the folder of another run."
        )


def _tower_differences(found: PMCCambrianConfig, wanted: PMCCambrianConfig) -> list[str]:
    names = [spec.name for spec in found.tower_specs]
    expected = [spec.name for spec in wanted.tower_specs]
    if names != expected:
        return [f"towers {names}, not {expected}"]
    return [
        f"tower {ours.name!r} with other settings"
        for ours, theirs in zip(wanted.tower_specs, found.tower_specs, strict=True)
        if ours != theirs
    ]


def read_lineage(folder: Path | None) -> list[dict[str, Any]]:
    """The stages a model went through; empty for a preset that was never trained."""
    if folder is None or not (folder / LINEAGE_FILE).is_file():
        return []
    entries: list[dict[str, Any]] = json.loads((folder / LINEAGE_FILE).read_text("utf-8"))
    return entries


def write_lineage(folder: Path, entries: list[dict[str, Any]]) -> None:
    """Writes the stages a model went through beside its weights."""
    text = json.dumps(entries, indent=2, ensure_ascii=False)
    (folder / LINEAGE_FILE).write_text(text + "\n", encoding="utf-8")
