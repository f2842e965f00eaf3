"""A published Cambrian-1 checkpoint folder: its configuration and what its shards hold, checked.

Nothing but headers is read here. Source: cambrian.md section 12; the folder is the one that
transformers writes (``config.json``, shards, their index, the tokenizer's files).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from semihvision.core.errors import InputError
from semihvision.core.json_files import read_json

from .weight_files import INDEX_FILE, SINGLE_FILE, StoredTensor, float_dtype, read_header


@dataclass(frozen=True)
class OfficialFolder:
    """What a folder holds.

    Attributes:
        path: The folder.
        config: The keys of its ``config.json``.
        files: Its weight files, sorted by name.
        weights: Official name -> where and what it is.
    """

    path: Path
    config: Mapping[str, Any]
    files: tuple[Path, ...]
    weights: Mapping[str, StoredTensor]


def read_official_folder(path: Path) -> OfficialFolder:
    """Reads configuration, index and headers.

    Raises:
        InputError: The folder is no checkpoint, a shard is absent or truncated, index and shards
            contradict each other, or weights are not stored as floating-point numbers.
    """
    if not path.is_dir():
        raise InputError(f"{path}: no such folder; expected a published Cambrian-1 checkpoint")
    config = read_json(path / "config.json")
    kind = config.get("model_type") if isinstance(config, dict) else None
    if not isinstance(config, dict) or kind != "cambrian_llama":
        raise InputError(
            f"{path / 'config.json'}: model_type is {kind!r}; expected 'cambrian_llama', a "
            "published Cambrian-1 checkpoint on a Llama"
        )
    index = _read_index(path)
    files = sorted({SINGLE_FILE} if index is None else set(index.values()))
    absent = [name for name in files if not (path / name).is_file()]
    if absent:
        named = f"{INDEX_FILE} names" if index is not None else f"there is no {INDEX_FILE} and no"
        raise InputError(f"{path}: {named} {', '.join(absent)}, absent from the folder; fetch it")
    weights: dict[str, StoredTensor] = {}
    problems = []
    for name in files:
        for key, stored in read_header(path / name).items():
            if key in weights:
                problems.append(f"{key} is in {weights[key].file.name} and in {name}")
            elif index is not None and index.get(key) != name:
                problems.append(f"{key} is in {name}, where the index does not name it")
            if float_dtype(stored.dtype) is None:
                problems.append(f"{key} is stored as {stored.dtype}, expected a floating-point")
            weights[key] = stored
    problems += [
        f"{key} is named by the index, but {name} lacks it"
        for key, name in (index or {}).items()
        if key not in weights
    ]
    if problems:
        raise InputError(
            f"{path}: unusable weights ({len(problems)} problems):\n  "
            + "\n  ".join(sorted(problems))
        )
    return OfficialFolder(path, config, tuple(path / name for name in files), weights)


def _read_index(folder: Path) -> dict[str, str] | None:
    """Weight -> file name; ``None`` where one file holds all."""
    path = folder / INDEX_FILE
    if not path.is_file():
        return None
    document = read_json(path)
    index = document.get("weight_map") if isinstance(document, dict) else None
    if not isinstance(index, dict) or not index:
        raise InputError(f"{path}: no weight_map; expected the index of a sharded checkpoint")
    outside = sorted({str(n) for n in index.values() if not isinstance(n, str) or _leads_out(n)})
    if outside:
        raise InputError(f"{path}: names {outside}; expected names of files in the folder")
    return index


def _leads_out(name: str) -> bool:
    return Path(name).name != name or not name.endswith(".safetensors")
