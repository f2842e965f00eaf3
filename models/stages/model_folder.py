"""The model folder that a stage hands on: all of it is written, or none, whatever the disk does."""

import copy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch.distributed as dist
from safetensors import SafetensorError

from models.lora import LoRASettings
from models.modeling import PMCCambrian
from models.processing import PMCCambrianProcessor
from models.stages.folder import write_weights
from models.stages.handoff import write_lineage
from semihvision.core.errors import InputError
from semihvision.core.files import tree_to_disk


def save_folder(
    folder: Path,
    *,
    network: PMCCambrian,
    processor: PMCCambrianProcessor,
    lora: LoRASettings | None,
    lineage: Callable[[], list[dict[str, Any]]],
) -> None:
    """Writes weights, configuration, tokenizer and lineage; every process calls it.

    Args:
        folder: Where to; what is there before stays until all is written.
        network: Sharded or not.
        processor: Its own.
        lora: Of its adapters.
        lineage: Gives the stages that the model went through; asked in the first process.

    Raises:
        InputError: It cannot be written, e.g. because the disk is full. No process is left waiting,
            no part of it stays, and neither does an older folder change.
    """
    partial = folder.with_name(folder.name + ".partial")
    writes = not _distributed() or dist.get_rank() == 0
    failure = _failure(lambda: _begin(partial)) if writes else None
    target = partial if writes and failure is None else None
    # A process that cannot write takes part all the same: the others wait for it at every tensor.
    failure = _failure(lambda: write_weights(network, target, lora=lora)) or failure

    def finish() -> None:
        _write_settings(partial, network, processor)
        write_lineage(partial, lineage())
        tree_to_disk(partial)
        _swap_in(partial, folder)

    if target is not None and failure is None:
        failure = _failure(finish)
    if writes and failure is not None:
        shutil.rmtree(partial, ignore_errors=True)
    message = _of_first_process(None if failure is None else f"{type(failure).__name__}: {failure}")
    if message is not None:
        raise InputError(
            f"{folder}: the model folder cannot be written ({message}); what was there before is "
            "unchanged. Make room, and run the same command again: a run with ResumableCheckpoint "
            "goes on from its last checkpoint"
        ) from failure


def _begin(partial: Path) -> None:
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)


def _write_settings(folder: Path, network: PMCCambrian, processor: PMCCambrianProcessor) -> None:
    config = copy.deepcopy(network.config)
    config.architectures, config.dtype = ["PMCCambrian"], "float32"
    config.save_pretrained(folder)
    network.generation_config.save_pretrained(folder)
    processor.save_pretrained(folder)


def _swap_in(partial: Path, folder: Path) -> None:
    """Puts a complete folder in the place of an older one, by two renames."""
    old = folder.with_name(folder.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.replace(old)
    try:
        partial.replace(folder)
    except OSError:
        if old.exists():
            old.replace(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _failure(action: Callable[[], None]) -> Exception | None:
    """What the disk refuses; other errors are raised."""
    try:
        action()
    except Exception as error:
        # safetensors and tokenizers are written in Rust, and tokenizers raises bare exceptions.
        if isinstance(error, OSError | SafetensorError) or "(os error" in str(error):
            return error
        raise
    return None


def _distributed() -> bool:
    return dist.is_available() and dist.is_initialized()


def _of_first_process(message: str | None) -> str | None:
    found = [message]
    if _distributed():
        dist.broadcast_object_list(found, src=0)
    return found[0]
