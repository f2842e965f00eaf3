"""A published Cambrian-1 checkpoint and tower weights become one of our model folders.

Our folders are complete: `PMCCambrian.from_pretrained` never makes weights up, so a folder without
towers would be of no use. Official checkpoints hold none, so their weights must be given here, and
without them nothing is written.

Everything that headers and configurations can tell is checked before anything is written. Tensors
then pass one at a time. The folder grows under ``NAME.partial`` and is renamed when complete; a
run that was cut off takes over the files that the one before had finished, if sources and settings
are the same.
"""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path

from torch import Tensor

from semihvision.core.errors import InputError
from semihvision.core.files import write_text_atomically
from semihvision.core.hashing import hash_file, hash_value
from semihvision.core.json_files import read_json

from .configuration import TowerSpec
from .conversion_plan import (
    ConversionPlan,
    check_room,
    plan_conversion,
    planned_files,
    preset_of,
)
from .loading import not_finite
from .tower_weights import load_tower_weights
from .towers import VisionTower
from .weight_files import (
    INDEX_FILE,
    LINEAGE_FILE,
    OnProgress,
    PlannedTensor,
    dtype_name,
    read_metadata,
    read_tensor,
    write_tensors,
)

_STATE_FILE = "conversion.json"
"""In an unfinished folder: what it is made from."""

_WRITTEN = "weights written"


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """What was written.

    Attributes:
        folder: The model folder.
        num_files: Weight files.
        num_parameters: All of them, towers included.
        num_bytes: Size of the weights.
        dtype: Of the weights; a tower whose spec names a dtype has that one.
        sources: Name of each official weight file -> SHA-256.
        towers: Name of each tower -> source, layout and SHA-256 of its weights.
        preset: Preset that this model is; empty if it is none.
    """

    folder: Path
    num_files: int
    num_parameters: int
    num_bytes: int
    dtype: str
    sources: dict[str, str]
    towers: dict[str, dict[str, str]]
    preset: str


def convert_official_folder(
    checkpoint: Path,
    out: Path,
    *,
    tower_weights: Mapping[str, str],
    dtype: str | None = None,
    system_prompt: str = "",
    on_progress: OnProgress = lambda what, done, total: None,
) -> Conversion:
    """Writes a model folder that `PMCCambrian.from_pretrained` reads.

    Args:
        checkpoint: Published folder with shards and index, or with one ``model.safetensors``.
        out: Folder to make.
        tower_weights: Name of every tower -> file or hub name, as `load_tower_weights` takes it.
        dtype: ``float32``, ``bfloat16`` or ``float16``; ``None`` for that of the checkpoint.
        system_prompt: The official system text, which checkpoints do not hold; empty leaves it to
            whoever uses the folder.
        on_progress: Called with what is counted, how many are done, and how many there are.

    Raises:
        InputError: Unusable, contradictory or incomplete sources, towers without weights, an
            existing folder, or too little room; said before anything is written. NaN, infinity and
            tower files that do not fit are found while writing, and leave no folder.
    """
    if out.exists():
        raise InputError(f"{out}: already there; choose another name, or remove it first")
    plan = plan_conversion(checkpoint, tower_weights, dtype, system_prompt)
    files = planned_files(plan)
    num_bytes = sum(tensor.num_bytes for planned in files.values() for tensor in planned)
    check_room(out, num_bytes)
    sources: dict[str, str] = {}
    for path in plan.source.files:
        sources[path.name] = hash_file(path)
        on_progress("checkpoint files read", len(sources), len(plan.source.files))
    partial = _partial_folder(out, plan, sources)
    towers = _write_weights(partial, plan, files, on_progress)
    made = Conversion(
        folder=out,
        num_files=len(files),
        num_parameters=sum(p.numel() for p in plan.model.parameters()),
        num_bytes=num_bytes,
        dtype=dtype_name(plan.dtype),
        sources=sources,
        towers=towers,
        preset=preset_of(plan.config),
    )
    _write_settings(partial, plan, files, made)
    (partial / _STATE_FILE).unlink()
    partial.replace(out)
    return made


def _partial_folder(out: Path, plan: ConversionPlan, sources: Mapping[str, str]) -> Path:
    """The unfinished folder of the same conversion, or a new one."""
    partial = out.with_name(out.name + ".partial")
    identity = hash_value(
        {
            "sources": sources,
            "config": plan.config.to_dict(),
            "towers": {
                name: hash_file(Path(given)) if Path(given).is_file() else given
                for name, given in plan.tower_weights.items()
            },
        }
    )
    state = partial / _STATE_FILE
    if not state.is_file() or read_json(state) != {"identity": identity}:
        shutil.rmtree(partial, ignore_errors=True)
        write_text_atomically(state, json.dumps({"identity": identity}) + "\n")
    return partial


def _write_weights(
    partial: Path,
    plan: ConversionPlan,
    files: Mapping[str, list[PlannedTensor]],
    on_progress: OnProgress,
) -> dict[str, dict[str, str]]:
    """Writes what is not there yet; returns what is known of each tower's weights."""
    facts: dict[str, dict[str, str]] = {}
    done, total = 0, sum(map(len, files.values()))
    for i, (name, planned) in enumerate(files.items()):
        path = partial / name
        if i < len(plan.config.tower_specs):
            spec = plan.config.tower_specs[i]
            if not path.is_file():
                _write_tower(path, i, spec, plan.tower_weights[spec.name], planned)
            facts[spec.name] = {
                key: value for key, value in read_metadata(path).items() if key != "format"
            }
        elif not path.is_file():
            read = _Reader(plan, planned).read
            write_tensors(path, planned, _counted(read, done, total, on_progress), {})
        done += len(planned)
        on_progress(_WRITTEN, done, total)
    return facts


def _counted(
    read: Callable[[str], Tensor], done: int, total: int, on_progress: OnProgress
) -> Callable[[str], Tensor]:
    """`read`, which says at every weight how many came before it."""
    numbers = count(done)

    def counted(name: str) -> Tensor:
        on_progress(_WRITTEN, next(numbers), total)
        return read(name)

    return counted


def _write_tower(
    path: Path, index: int, spec: TowerSpec, source: str, planned: list[PlannedTensor]
) -> None:
    tower = VisionTower(spec)
    loaded = load_tower_weights(tower, source)
    state = tower.state_dict(prefix=f"towers.{index}.")
    dtypes = {tensor.name: tensor.dtype for tensor in planned}

    def value(name: str) -> Tensor:
        return _checked(state[name].to(dtypes[name]), name, path)

    metadata = {"source": loaded.source, "layout": loaded.layout, "sha256": loaded.sha256}
    write_tensors(path, planned, value, metadata)


class _Reader:
    """Official weights under our names, in the new dtype; the first unusable ones end it."""

    def __init__(self, plan: ConversionPlan, planned: list[PlannedTensor]) -> None:
        self._weights = plan.source.weights
        self._dtype = plan.dtype
        wanted = {tensor.name for tensor in planned}
        self._keys = {name: key for key, name in plan.names.items() if name in wanted}

    def read(self, name: str) -> Tensor:
        key = self._keys[name]
        file = self._weights[key].file
        return _checked(read_tensor(file, key).to(self._dtype), key, file)


def _checked(value: Tensor, key: str, file: Path) -> Tensor:
    problems = not_finite(key, value)
    if problems:
        raise InputError(
            f"{file}: {problems[0]} as {dtype_name(value.dtype)}; fetch the file again, or "
            "choose a dtype that holds its values"
        )
    return value


def _write_settings(
    partial: Path, plan: ConversionPlan, files: Mapping[str, list[PlannedTensor]], made: Conversion
) -> None:
    """Everything but the weights."""
    index = {tensor.name: name for name, planned in files.items() for tensor in planned}
    totals = {"total_parameters": made.num_parameters, "total_size": made.num_bytes}
    document = {"metadata": totals, "weight_map": index}
    write_text_atomically(partial / INDEX_FILE, json.dumps(document, indent=2) + "\n")
    plan.config.save_pretrained(partial)
    if plan.model.generation_config is not None:
        plan.model.generation_config.save_pretrained(partial)
    plan.processor.save_pretrained(partial)
    facts = asdict(made)
    entry = {"stage": "from-cambrian", "checkpoint": plan.source.path.resolve().name}
    kept = {name: facts[name] for name in ("preset", "dtype", "sources")}
    lineage = [{**entry, **kept, "tower_weights": facts["towers"]}]
    text = json.dumps(lineage, indent=2, ensure_ascii=False)
    write_text_atomically(partial / LINEAGE_FILE, text + "\n")
