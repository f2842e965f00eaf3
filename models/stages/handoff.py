"""From one stage to the next: a model folder goes in, and is refused if it does not fit."""

import copy
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from models.configuration import PMCCambrianConfig
from models.tokenizer import load_tokenizer, tokenizer_hash
from models.weight_files import LINEAGE_FILE
from semihvision.core.errors import InputError
from semihvision.core.files import write_text_atomically
from semihvision.core.json_files import read_json

_NOT_COMPARED = frozenset(
    {"architectures", "dtype", "torch_dtype", "initializer_range", "transformers_version"}
)
"""Fields of a configuration that a trained model may differ in: how it was stored, by what, and the
spread of start values, which training has long replaced."""


STAGE_ORDER = ("ConnectorAlignment", "InstructionTuning", "Annealing")
"""Classes of the stages, first to last."""


def check_taken_over(folder: Path, *, wanted: PMCCambrianConfig, stage: str) -> PMCCambrianConfig:
    """Refuses a model folder that a stage cannot start from.

    Args:
        folder: Model folder of the stage before.
        wanted: Configuration of this stage's preset.
        stage: Its name.

    Returns:
        The stage's configuration: of the folder's only the towers' dtypes may be others, as those
        of trained towers are.

    Raises:
        InputError: See `check_handoff` and `check_order`.
    """
    check_handoff(folder, wanted=wanted)
    check_order(folder, stage, STAGE_ORDER)
    taken = copy.deepcopy(wanted)
    taken.towers = PMCCambrianConfig.from_folder(folder).towers
    return taken


def check_handoff(folder: Path, *, wanted: PMCCambrianConfig) -> None:
    """Refuses a model folder whose configuration or tokenizer is not what the stage expects.

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
    found = PMCCambrianConfig.from_folder(folder)
    differences = [
        *_differences(_comparable(found.to_dict()), _comparable(wanted.to_dict())),
        *_tokenizer_differences(folder, wanted.tokenizer),
    ]
    if differences:
        raise InputError(
            f"init_from: the model in {folder} does not fit this stage's preset: it has "
            + "; ".join(differences)
            + ". Use the preset it was trained with, or the folder of another run."
        )


def check_order(folder: Path, stage: str, order: Sequence[str]) -> None:
    """Refuses a model whose last stage is neither this one nor the one before it.

    A model that comes from elsewhere, such as a converted checkpoint, is taken by every stage.

    Args:
        folder: Model folder that the stage starts from.
        stage: Its name.
        order: Names of all stages, first to last.

    Raises:
        InputError: A stage is left out, or gone back to.
    """
    lineage = read_lineage(folder)
    last = lineage[-1].get("stage") if lineage else None
    if last not in order or stage not in order:
        return
    if order.index(stage) - order.index(last) not in (0, 1):
        raise InputError(
            f"init_from: the last stage of the model in {folder} is {last}, which {stage} does not "
            f"follow; the order is {', '.join(order)}. Give the folder of the stage before, or "
            "another stage as model.class_path"
        )


def _comparable(value: Any) -> Any:
    """A configuration's fields as JSON knows them, without those that are not compared."""
    if isinstance(value, dict):
        return {
            str(name): _comparable(entry)
            for name, entry in value.items()
            if not str(name).startswith("_") and name not in _NOT_COMPARED
        }
    return [_comparable(entry) for entry in value] if isinstance(value, (list, tuple)) else value


def _differences(found: Any, wanted: Any, name: str = "") -> list[str]:
    """Every differing field by its dotted name."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        keys = sorted(found.keys() | wanted.keys())
        pairs = [(key, found.get(key), wanted.get(key)) for key in keys]
    elif isinstance(found, list) and isinstance(wanted, list) and len(found) == len(wanted):
        pairs = [(str(i), a, b) for i, (a, b) in enumerate(zip(found, wanted, strict=True))]
    elif found == wanted:
        return []
    elif name == "towers":
        return [f"towers {[t['name'] for t in found]}, not {[t['name'] for t in wanted]}"]
    else:
        return [f"{name} {found!r}, not {wanted!r}"]
    prefix = name and f"{name}."
    return [line for key, a, b in pairs for line in _differences(a, b, f"{prefix}{key}")]


def _tokenizer_differences(folder: Path, wanted: str) -> list[str]:
    try:
        found = tokenizer_hash(load_tokenizer(str(folder)))
    except ValueError as error:
        return [f"an unusable tokenizer ({error})"]
    if wanted != "tiny":
        # Known by its hub's name only, which may be out of reach: the stage takes the folder's own.
        return []
    expected = tokenizer_hash(load_tokenizer(wanted))
    if found == expected:
        return []
    return [f"another tokenizer (hash {found[:12]}) than {wanted!r} (hash {expected[:12]})"]


def read_lineage(folder: Path | None) -> list[dict[str, Any]]:
    """The stages a model went through; empty for a preset that was never trained.

    Raises:
        InputError: The file is not what `write_lineage` wrote.
    """
    if folder is None or not (folder / LINEAGE_FILE).is_file():
        return []
    path = folder / LINEAGE_FILE
    entries = read_json(path)
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise InputError(f"{path}: expected a list of objects, one per stage")
    return entries


def write_lineage(folder: Path, entries: list[dict[str, Any]]) -> None:
    """Writes the stages a model went through beside its weights."""
    text = json.dumps(entries, indent=2, ensure_ascii=False)
    write_text_atomically(folder / LINEAGE_FILE, text + "\n")
