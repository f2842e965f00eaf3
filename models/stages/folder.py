"""Writing a stage's model as a folder, tensor by tensor, from one process or from all shards."""

import json
from collections.abc import Iterator
from pathlib import Path

from torch import Tensor

from models.lora import LoRASettings, merged_tensors
from models.modeling import PMCCambrian
from models.sharding import whole_tensor
from models.weight_files import INDEX_FILE, SINGLE_FILE, write_shard

SHARD_BYTES = 5 * 1024**3
"""Largest weight file: as much as the writing process holds in memory."""


def write_weights(
    model: PMCCambrian,
    folder: Path | None,
    *,
    lora: LoRASettings | None,
    shard_bytes: int = SHARD_BYTES,
) -> None:
    """Writes the weights of a plain PMCCambrian, adapters merged, in safetensors files.

    Every process must call it: gathering a tensor from its shards takes all of them.

    Args:
        model: Sharded or not.
        folder: Where to; None in the processes that only take part.
        lora: Of its adapters.
        shard_bytes: Largest file; a larger tensor gets one of its own.
    """
    state = model.state_dict(keep_vars=True)
    first: dict[int, str] = {}
    names = [name for name, tensor in state.items() if first.setdefault(id(tensor), name) == name]
    trained = next((p.dtype for p in model.parameters() if p.requires_grad), None)

    def stored(name: str) -> Tensor:
        tensor = whole_tensor(state[name])
        # Frozen weights may be held in fewer bits (`models.stages.building`); adapters are merged
        # and files written in those of the trained ones. Towers have a dtype of their own.
        if name.startswith("towers.") or not tensor.is_floating_point():
            return tensor
        return tensor.to(trained)

    tensors = merged_tensors(names, stored, lora)
    try:
        if folder is not None:
            _write_files(tensors, folder, shard_bytes)
    finally:
        # Also after an error: the other processes wait for this one at every tensor that is left.
        for _ in tensors:
            pass


def _write_files(tensors: Iterator[tuple[str, Tensor]], folder: Path, shard_bytes: int) -> None:
    files: list[list[str]] = []
    pending: dict[str, Tensor] = {}
    total = 0

    def write() -> None:
        name = f"part-{len(files):05d}.safetensors"
        write_shard(folder / name, pending)
        files.append(list(pending))
        pending.clear()

    for name, tensor in tensors:
        if pending and sum(t.nbytes for t in pending.values()) + tensor.nbytes > shard_bytes:
            write()
        pending[name] = tensor.contiguous()
        total += tensor.nbytes
    write()
    _name_files(folder, files, total)


def _name_files(folder: Path, files: list[list[str]], total: int) -> None:
    """Gives the files their usual names, which say how many there are, and writes the index."""
    weight_map: dict[str, str] = {}
    for i, held in enumerate(files):
        final = f"model-{i + 1:05d}-of-{len(files):05d}.safetensors"
        target = SINGLE_FILE if len(files) == 1 else final
        (folder / f"part-{i:05d}.safetensors").replace(folder / target)
        weight_map |= dict.fromkeys(held, target)
    if len(files) > 1:
        index = {"metadata": {"total_size": total}, "weight_map": weight_map}
        text = json.dumps(index, indent=2, sort_keys=True)
        (folder / INDEX_FILE).write_text(text + "\n", encoding="utf-8")
