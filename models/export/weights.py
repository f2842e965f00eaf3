"""Weights from one model folder to another: new shards, another dtype, one shard in memory."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from models.configuration import PMCCambrianConfig
from models.modeling import PMCCambrian
from models.weight_files import INDEX_FILE, SINGLE_FILE, OnProgress, dtype_name, write_shard
from semihvision.core.errors import InputError
from semihvision.core.json_files import read_json
from semihvision.core.reasons import in_words


class WeightSummary(NamedTuple):
    """What was written; parameters count tied weights once."""

    num_files: int
    num_parameters: int
    num_bytes: int
    dtypes: tuple[str, ...]


class _Stored(NamedTuple):
    file: Path
    shape: tuple[int, ...]
    num_bytes: int
    is_float: bool


def copy_weights(
    source: Path,
    target: Path,
    *,
    max_shard_bytes: int,
    dtype: torch.dtype | None = None,
    on_progress: OnProgress = lambda what, done, total: None,
) -> WeightSummary:
    """Copies the weights of a model folder, shard by shard.

    Args:
        source: Model folder; its configuration says which weights there must be.
        target: Folder that gets the shards, and the index where there are several.
        max_shard_bytes: Largest shard; a weight that is larger gets a shard of its own.
        dtype: What floating-point weights become; None: as they are. A tower that has a dtype of
            its own keeps it.
        on_progress: Called with what is counted, how many are done, and how many there are.

    Raises:
        InputError: Weights are missing, unexpected, mis-shaped, damaged or not finite.
    """
    config = PMCCambrianConfig.from_folder(source)
    stored = _stored_weights(source)
    _check_complete(source, config, stored)
    converted = {} if dtype is None else dict.fromkeys(_convertible(config, stored), dtype)
    shards = _plan(stored, max_shard_bytes, converted)
    index: dict[str, str] = {}
    num_parameters = num_bytes = 0
    dtypes: set[str] = set()
    for i, names in enumerate(shards, start=1):
        name = (
            SINGLE_FILE if len(shards) == 1 else f"model-{i:05d}-of-{len(shards):05d}.safetensors"
        )
        tensors: dict[str, Tensor] = {}
        for own, tensor in _read(names, stored, converted):
            tensors[own] = tensor
            on_progress("weights read", len(index) + len(tensors), len(stored))
        write_shard(target / name, tensors)
        index.update(dict.fromkeys(names, name))
        on_progress("weights written", len(index), len(stored))
        num_parameters += sum(tensor.numel() for tensor in tensors.values())
        num_bytes += sum(tensor.nbytes for tensor in tensors.values())
        dtypes.update(dtype_name(tensor.dtype) for tensor in tensors.values())
    if len(shards) > 1:
        totals = {"total_parameters": num_parameters, "total_size": num_bytes}
        text = json.dumps({"metadata": totals, "weight_map": index}, indent=2, sort_keys=True)
        (target / INDEX_FILE).write_text(text + "\n", encoding="utf-8")
    return WeightSummary(len(shards), num_parameters, num_bytes, tuple(sorted(dtypes)))


def _stored_weights(source: Path) -> dict[str, _Stored]:
    index = source / INDEX_FILE
    if index.is_file():
        document = read_json(index)
        weight_map = document.get("weight_map") if isinstance(document, dict) else None
        if not isinstance(weight_map, dict):
            raise InputError(f"{index}: no weight_map; expected the index of a sharded model")
        # Names only: a path in a foreign index must not lead out of the folder.
        files = sorted({source / Path(str(name)).name for name in weight_map.values()})
    else:
        files = [source / SINGLE_FILE]
    found: dict[str, _Stored] = {}
    for file in files:
        try:
            with safe_open(file, framework="pt") as opened:
                for name in opened.keys():  # noqa: SIM118 - no mapping, it cannot be iterated over
                    view = opened.get_slice(name)
                    shape, kind = tuple(view.get_shape()), view.get_dtype()
                    size = torch.Size(shape).numel() * _BITS[kind] // 8
                    found[name] = _Stored(file, shape, size, "F" in kind)
        except (OSError, SafetensorError, KeyError) as error:
            raise InputError(
                f"{file}: the weights cannot be read ({in_words(error)}: {error}); expected a "
                "complete model folder as `semihvision fit` writes it"
            ) from None
    return found


_BITS = {"F64": 64, "F32": 32, "F16": 16, "BF16": 16, "I64": 64, "I32": 32, "U8": 8, "BOOL": 8}


def _convertible(config: PMCCambrianConfig, stored: Mapping[str, _Stored]) -> list[str]:
    """Floating-point weights outside towers that keep a dtype of their own."""
    own = [f"towers.{i}." for i, spec in enumerate(config.tower_specs) if spec.dtype is not None]
    return [
        name for name, found in stored.items() if found.is_float and not name.startswith(tuple(own))
    ]


def _check_complete(source: Path, config: PMCCambrianConfig, stored: Mapping[str, _Stored]) -> None:
    """Refuses weights that are not those of the configuration; all differences are listed."""
    with torch.device("meta"):
        model = PMCCambrian(config)
    wanted = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    # Of tied weights one is stored; loading ties the others to it.
    tied: Any = getattr(model, "all_tied_weights_keys", {})
    missing = wanted.keys() - stored.keys() - tied.keys()
    problems = [f"missing: {name}" for name in missing]
    for name, found in stored.items():
        if name not in wanted:
            problems.append(f"unexpected: {name}")
        elif found.shape != wanted[name]:
            problems.append(f"mis-shaped: {name} is {found.shape}, expected {wanted[name]}")
    if problems:
        raise InputError(
            f"{source}: its weights do not fit its configuration ({len(problems)} problems):\n  "
            + "\n  ".join(sorted(problems))
        )


def _plan(
    stored: Mapping[str, _Stored], max_shard_bytes: int, converted: Mapping[str, torch.dtype]
) -> list[list[str]]:
    """Names of each shard, in stored order; a shard is full when the next weight does not fit."""
    shards: list[list[str]] = [[]]
    used = 0
    for name, found in stored.items():
        size = found.num_bytes
        if name in converted:
            size = torch.Size(found.shape).numel() * converted[name].itemsize
        if shards[-1] and used + size > max_shard_bytes:
            shards.append([])
            used = 0
        shards[-1].append(name)
        used += size
    return shards


def _read(
    names: list[str], stored: Mapping[str, _Stored], converted: Mapping[str, torch.dtype]
) -> Iterator[tuple[str, Tensor]]:
    for file in sorted({stored[name].file for name in names}):
        with safe_open(file, framework="pt") as opened:
            for name in names:
                if stored[name].file != file:
                    continue
                tensor: Tensor = opened.get_tensor(name)
                tensor = tensor.to(converted.get(name, tensor.dtype))
                if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
                    raise InputError(
                        f"{file}: {name} holds values that are not finite in "
                        f"{dtype_name(tensor.dtype)}; choose a dtype that holds them, or train anew"
                    )
                yield name, tensor.contiguous()
