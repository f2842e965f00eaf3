"""Writes the Hugging Face folder of a trained model.

Adapters of parameter-efficient tuning are no part of it: a stage merges them when it writes its
model folder, which is what comes in here.
"""

import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

from transformers import GenerationConfig

from models.configuration import PMCCambrianConfig
from models.export.chat_template import chat_template
from models.export.model_card import model_card
from models.export.processor import PMCCambrianAutoProcessor
from models.export.remote_code import MODEL_AUTO_MAP, PROCESSOR_AUTO_MAP, bundle_code
from models.export.weights import WeightSummary, copy_weights
from models.processing import PMCCambrianProcessor
from models.processor_settings import SETTINGS_FILE
from models.weight_files import DTYPES, LINEAGE_FILE, OnProgress
from semihvision.core.errors import InputError
from semihvision.core.json_files import read_json

ADAPTER_FILE = "adapter_config.json"


class HFFolder(NamedTuple):
    """What was written."""

    folder: Path
    weights: WeightSummary
    code_files: tuple[str, ...]


def write_hf_folder(
    source: Path,
    target: Path,
    *,
    max_shard_bytes: int,
    dtype: str | None = None,
    system_prompt: str | None = None,
    other_prompt: bool = False,
    on_progress: OnProgress = lambda what, done, total: None,
) -> HFFolder:
    """Writes a folder that loads with this project and, with its own code, without it.

    Args:
        source: Model folder as a training stage writes it.
        target: Folder to make; it appears under its name when it is complete.
        max_shard_bytes: Largest file of weights.
        dtype: ``float32``, ``bfloat16`` or ``float16`` for all weights; None: as they are.
        system_prompt: System text in place of the source's; None for the source's.
        other_prompt: Weights of an official checkpoint are handed out with another prompt than
            theirs; the new folder no longer checks it.
        on_progress: Called with what is counted, how many are done, and how many there are.

    Raises:
        InputError: The source is unfinished, foreign or damaged, or the target is already there, or
            the prompt is not that of the official checkpoint that the weights come from.
    """
    _check_folders(source, target)
    if dtype is not None and dtype not in DTYPES:
        raise InputError(f"dtype {dtype!r}; expected one of {', '.join(DTYPES)}")
    partial = target.with_name(target.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        made = PMCCambrianProcessor.from_pretrained(
            source, system_prompt=system_prompt, other_prompt=other_prompt
        )
        code = _write_files(source, partial, made, dtype)
        weights = copy_weights(
            source,
            partial,
            max_shard_bytes=max_shard_bytes,
            dtype=None if dtype is None else DTYPES[dtype],
            on_progress=on_progress,
        )
        card = model_card(partial, name=target.name, weights=weights)
        _write(partial / "README.md", card)
        _refuse_own_paths(partial, source)
        partial.replace(target)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return HFFolder(target, weights, tuple(code))


def _check_folders(source: Path, target: Path) -> None:
    if source.name.endswith(".partial"):
        raise InputError(f"{source}: an unfinished model folder; train on, or take a finished one")
    if (source / ADAPTER_FILE).is_file():
        raise InputError(
            f"{source}: holds adapters, not a whole model ({ADAPTER_FILE}); expected the merged "
            "model folder that the stage writes at its end"
        )
    for name in ("config.json", SETTINGS_FILE, "tokenizer.json"):
        if not (source / name).is_file():
            raise InputError(
                f"{source}: no {name}; expected a complete model folder as `semihvision fit` "
                "writes it"
            )
    if target.exists():
        raise InputError(f"{target}: already there; choose another name, or remove it first")
    PMCCambrianConfig.from_folder(source)


def _write_files(
    source: Path, target: Path, made: PMCCambrianProcessor, dtype: str | None
) -> list[str]:
    """Everything but weights and card; returns the names of the code files."""
    template = chat_template(system_prompt=made.template.system_prompt, style=made.template.style)
    made.tokenizer.chat_template = template
    processor = PMCCambrianAutoProcessor(made.tokenizer, made, chat_template=template)
    processor.auto_map = PROCESSOR_AUTO_MAP
    processor.save_pretrained(target)

    config = read_json(source / "config.json")
    config["auto_map"] = MODEL_AUTO_MAP
    if dtype is not None:
        config["dtype"] = dtype
    _write_json(target / "config.json", config)
    _generation_config(source).save_pretrained(target)
    if (source / LINEAGE_FILE).is_file():
        _write_json(target / LINEAGE_FILE, read_json(source / LINEAGE_FILE))
    code = bundle_code()
    for name, text in code.items():
        _write(target / name, text)
    return list(code)


def _generation_config(source: Path) -> GenerationConfig:
    """The folder's own, else the token ids of the decoder's configuration."""
    file = source / "generation_config.json"
    if file.is_file():
        return GenerationConfig.from_dict(read_json(file))
    text_config = PMCCambrianConfig.from_folder(source).text_config
    return GenerationConfig.from_model_config(text_config)


def _refuse_own_paths(folder: Path, source: Path) -> None:
    """Refuses to hand out names of folders on this machine.

    Raises:
        InputError: A file that is not code holds one.
    """
    private = {str(source.resolve()), str(folder.resolve()), str(Path.home()), str(Path.cwd())}
    private -= {"/", ""}
    for file in sorted(folder.iterdir()):
        if file.suffix not in (".json", ".md", ".jinja"):
            continue
        text = file.read_text(encoding="utf-8")
        if any(path in text for path in private):
            raise InputError(
                f"{file.name} of {source} names a folder of this machine, which others must not "
                "see; remove it from that file and try again"
            )


def _write_json(path: Path, document: Any) -> None:
    _write(path, json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
