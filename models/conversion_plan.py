"""What a conversion of a published checkpoint will write, after every check that needs no weights.

Source: cambrian.md section 12. Deviation: the ids that begin, end and pad text are those of the
checkpoint's tokenizer by Llama-3's names, as in our presets; the official configuration names one
end and leaves the end of a turn to the conversation template.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch

from semihvision.core.errors import InputError

from .checkpoint import match_names
from .configuration import PMCCambrianConfig, TowerSpec
from .modeling import PMCCambrian
from .official_config import config_from_official
from .official_folder import OfficialFolder, read_official_folder
from .official_names import official_key
from .official_prompt import OfficialPrompt
from .presets import preset
from .processing import PMCCambrianProcessor
from .tokenizer import (
    BEGIN_OF_TEXT,
    END_OF_TEXT,
    END_OF_TURN,
    PAD,
    load_tokenizer,
    tokenizer_hash,
)
from .weight_files import DTYPES, PlannedTensor, float_dtype, read_tensor

_SPARE_BYTES = 64 * 1024**2
"""Room for tokenizer, settings and headers."""


class ConversionPlan(NamedTuple):
    """What is converted into what.

    Attributes:
        source: The published folder.
        model: On the meta device.
        config: Of the model folder.
        processor: Of the model folder.
        names: Official name -> ours.
        tower_weights: Name of every tower -> source of its weights.
        dtype: Of the weights, but for towers whose spec names one.
    """

    source: OfficialFolder
    model: PMCCambrian
    config: PMCCambrianConfig
    processor: PMCCambrianProcessor
    names: Mapping[str, str]
    tower_weights: Mapping[str, str]
    dtype: torch.dtype


def plan_conversion(
    checkpoint: Path, tower_weights: Mapping[str, str], dtype: str | None, system_prompt: str
) -> ConversionPlan:
    """Reads configuration, tokenizer and headers, and checks that they fit each other.

    Args:
        checkpoint: As `models.conversion.convert_official_folder`.
        tower_weights: As there.
        dtype: As there.
        system_prompt: As there.

    Raises:
        InputError: They do not.
    """
    source = read_official_folder(checkpoint)
    tokenizer = load_tokenizer(str(checkpoint))
    where = checkpoint / "config.json"
    try:
        config = config_from_official(source.config)
    except (ValueError, TypeError) as error:
        raise InputError(f"{where}: {error}") from None
    _check_towers(config.tower_specs, tower_weights)
    text, vocabulary = config.text_config, tokenizer.get_vocab()
    if max(vocabulary.values()) >= text.vocab_size:
        raise InputError(
            f"{checkpoint}: the tokenizer has ids up to {max(vocabulary.values())}; expected less "
            f"than the configuration's vocab_size, {text.vocab_size}"
        )
    text.bos_token_id, text.pad_token_id = vocabulary[BEGIN_OF_TEXT], vocabulary[PAD]
    text.eos_token_id = [vocabulary[END_OF_TEXT], vocabulary[END_OF_TURN]]
    shipped = tokenizer_hash(tokenizer) == tokenizer_hash(load_tokenizer("tiny"))
    config.tokenizer = "tiny" if shipped else preset("8b").tokenizer
    chosen = _dtype(source, dtype)
    config.dtype = chosen
    config.architectures = [PMCCambrian.__name__]
    with torch.device("meta"):
        model = PMCCambrian(config)
    try:
        names = match_names({key: found.shape for key, found in source.weights.items()}, model)
    except ValueError as error:
        raise InputError(f"{checkpoint}: {error}") from None
    _check_ties(source, names, model)
    if "image_position" not in source.config:
        raise InputError(f"{where}: lacks 'image_position'; expected a Cambrian-1 configuration")
    official = OfficialPrompt(image_position=source.config["image_position"])
    processor = PMCCambrianProcessor(
        config, tokenizer=tokenizer, system_prompt=system_prompt, official=official
    )
    if system_prompt:
        processor.check_official()
    return ConversionPlan(source, model, config, processor, names, tower_weights, chosen)


def _check_towers(specs: tuple[TowerSpec, ...], tower_weights: Mapping[str, str]) -> None:
    names = [spec.name for spec in specs]
    unknown = sorted(set(tower_weights) - set(names))
    if unknown:
        raise InputError(f"tower weights for {unknown}: no such towers; expected those of {names}")
    absent = [spec for spec in specs if spec.name not in tower_weights]
    if absent:
        given = "\n  ".join(
            f"--tower-weights {spec.name}={spec.weights or 'FILE'}" for spec in absent
        )
        raise InputError(
            f"official checkpoints hold no vision towers, and {len(absent)} of {len(specs)} were "
            "given no weights; none are ever made up. Give for each a file, or the name on timm's "
            f"hub as here:\n  {given}"
        )


def _dtype(source: OfficialFolder, dtype: str | None) -> torch.dtype:
    if dtype is not None:
        if dtype not in DTYPES:
            raise InputError(f"dtype {dtype!r}; expected one of {', '.join(DTYPES)}")
        return DTYPES[dtype]
    found = sorted({stored.dtype for stored in source.weights.values()})
    stored = float_dtype(found[0])
    if len(found) > 1 or stored is None or stored not in DTYPES.values():
        raise InputError(
            f"{source.path}: weights are stored as {', '.join(found)}; choose one dtype for the "
            f"model folder: {', '.join(DTYPES)}"
        )
    return stored


def _check_ties(source: OfficialFolder, names: Mapping[str, str], model: PMCCambrian) -> None:
    """Refuses a checkpoint that stores a tied weight twice and differently."""
    tied: dict[str, str] = getattr(model, "all_tied_weights_keys", {})
    for name, other in tied.items():
        both = (official_key(name), official_key(other))
        keys = [key for key in both if key is not None and key in names]
        if len(keys) == 2:
            first, second = (read_tensor(source.weights[k].file, k) for k in keys)
            if not torch.equal(first, second):
                raise InputError(
                    f"{source.path}: {keys[0]} and {keys[1]} differ, though the configuration says "
                    "tie_word_embeddings"
                )


def planned_files(plan: ConversionPlan) -> dict[str, list[PlannedTensor]]:
    """Weight files of the new folder: one a tower, then one a file of the checkpoint."""
    groups: list[list[PlannedTensor]] = []
    for i, tower in enumerate(plan.model.towers):
        spec = plan.config.tower_specs[i]
        dtype = plan.dtype if spec.dtype is None else getattr(torch, spec.dtype)
        state = tower.state_dict(prefix=f"towers.{i}.")
        groups.append([PlannedTensor(n, dtype, tuple(v.shape)) for n, v in state.items()])
    for path in plan.source.files:
        stored = [(key, found) for key, found in plan.source.weights.items() if found.file == path]
        groups.append(
            [PlannedTensor(plan.names[k], plan.dtype, found.shape) for k, found in stored]
        )
    width = len(groups)
    return {f"model-{i + 1:05d}-of-{width:05d}.safetensors": g for i, g in enumerate(groups)}


def check_room(out: Path, num_bytes: int) -> None:
    """Refuses a disk without room for the whole folder.

    Args:
        out: The folder.
        num_bytes: Size of its weights.

    Raises:
        InputError: There is less room.
    """
    parent = next(folder for folder in out.absolute().parents if folder.is_dir())
    free = shutil.disk_usage(parent).free
    if free < num_bytes + _SPARE_BYTES:
        raise InputError(
            f"{parent}: {free / 1e9:.1f} GB free; the model folder needs "
            f"{(num_bytes + _SPARE_BYTES) / 1e9:.1f} GB"
        )


def preset_of(config: PMCCambrianConfig) -> str:
    """Name of the preset whose sizes and towers these are; empty if there is none."""

    def compared(one: PMCCambrianConfig) -> dict[str, Any]:
        fields = one.to_dict()
        text = fields.pop("text_config")
        for name in ("dtype", "initializer_range", "architectures"):
            fields.pop(name, None)
            text.pop(name, None)
        return {**fields, "text_config": text}

    for name in ("tiny", "8b"):
        if compared(preset(name)) == compared(config):
            return name
    return ""
