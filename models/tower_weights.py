"""Published weights for a vision tower, from a local file or timm's hub, known by their hash.

A file may be in timm's names or in those of the official releases (`models.tower_names`). Tensors
are read through a memory map, one at a time, so the file never stands in memory as a whole. A
position table of another grid is resampled here, once (`models.position_tables`).
"""

import hashlib
import logging
import pickle
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from semihvision.core.errors import InputError
from semihvision.core.reasons import in_words

from .configuration import TowerSpec
from .tower_fit import POSITION_TABLE, assemble, check_shapes, on_own_grid
from .tower_names import NamePlan, plan_names
from .towers import VisionTower

_log = logging.getLogger(__name__)
_TORCH_SUFFIXES = (".bin", ".pt", ".pth")


@dataclass(frozen=True)
class TowerWeights:
    """What a tower was given.

    Attributes:
        source: Hub name, or the file's name without its folder.
        layout: Names that the file uses (`models.tower_names`).
        sha256: `hash_tensors` of the tensors taken, as published: the same for every file that
            holds the same weights, whatever its names, format and position rule.
        unused: Names in the file that no tower takes, such as a classification head.
    """

    source: str
    layout: str
    sha256: str
    unused: tuple[str, ...]


def load_tower_weights(tower: VisionTower, source: str) -> TowerWeights:
    """Gives a tower its weights; refused weights leave it as it was.

    Args:
        tower: With a timm model, not on the meta device and not sharded yet.
        source: A hub name as `TowerSpec.weights` has it, fetched into the hub's cache if it is not
            there; or the path of a ``.safetensors``, ``.bin``, ``.pt`` or ``.pth`` file.

    Returns:
        What was loaded.

    Raises:
        InputError: No such file or name, the hub cannot be reached, a damaged file, missing,
            unexpected or mis-shaped weights (named, 20 of a kind at most, and counted), or values
            that are not finite in the tower's dtype.
        ValueError: The tower has no model, or holds no memory yet.
    """
    spec = tower.spec
    if tower.backbone is None or any(p.is_meta for p in tower.parameters()):
        raise ValueError(
            f"tower {spec.name!r} has no timm model or is on the meta device; weights are loaded "
            "into a tower that is built in memory"
        )
    path = _weights_file(spec, source)
    tensors = _open_tensors(path)
    state = tower.backbone.state_dict()
    plan = plan_names(tensors, state)
    check_shapes(path, plan, tensors, tower)
    _check_values(path, tensors, plan, spec)
    digest = hash_tensors(_converted(plan, tensors))
    with torch.no_grad():
        for name, tensor in _converted(plan, tensors):
            state[name].copy_(on_own_grid(tensor, tower) if name == POSITION_TABLE else tensor)
    label = path.name if Path(source).is_file() else source
    _log.info("tower %s: weights %s, SHA-256 %s", spec.name, label, digest)
    return TowerWeights(label, plan.layout, digest, plan.unused)


def check_tower_sources(
    specs: Sequence[TowerSpec], sources: Mapping[str, str], *, taken_over: bool
) -> None:
    """Refuses sources of weights that do not fit a model's towers, before anything is loaded.

    Args:
        specs: The model's towers.
        sources: Tower name -> source for `load_tower_weights`.
        taken_over: The towers come with weights from a model folder.

    Raises:
        InputError: A name is no tower's, or a tower with published weights would start with random
            ones.
    """
    names = [spec.name for spec in specs]
    unknown = sorted(set(sources) - set(names))
    if unknown:
        raise InputError(f"tower_weights {unknown}: no such towers; expected some of {names}")
    for spec in specs:
        if spec.weights is not None and spec.name not in sources and not taken_over:
            raise InputError(
                f"tower {spec.name!r} would start with random weights; set init_from to a model "
                f"folder that holds it, or give tower_weights for it: {spec.weights!r}, or a file"
            )


def hash_tensors(tensors: Iterator[tuple[str, Tensor]]) -> str:
    """SHA-256 over names, shapes and values, in the order given.

    Floating-point values count as float32, so a file stored in half precision and its exact copy
    in single precision have one hash.
    """
    digest = hashlib.sha256()
    for name, tensor in tensors:
        values = tensor.float() if tensor.is_floating_point() else tensor
        digest.update(f"{name} {tuple(values.shape)} {values.dtype}\n".encode())
        digest.update(values.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _weights_file(spec: TowerSpec, source: str) -> Path:
    """The file itself, or the one in the hub's cache."""
    from timm.models import get_pretrained_cfg

    path = Path(source)
    if path.is_file():
        return path
    try:
        published = get_pretrained_cfg(source, allow_unregistered=False)
    except RuntimeError:
        published = None
    if published is None or not published.hf_hub_id:
        raise InputError(
            f"tower {spec.name!r}: {source!r} is neither a file nor a name of timm's hub; expected "
            f"the path of a weights file, or for example {spec.weights!r}"
        )
    repository, name = published.hf_hub_id, published.hf_hub_filename or "model.safetensors"
    try:
        return Path(_download(repository, name))
    except OSError as error:
        raise InputError(
            f"tower {spec.name!r}: {source!r} cannot be fetched ({in_words(error)}); fetch "
            f"the file {name} of the Hugging Face repository {repository} on a machine that "
            f"reaches it, and give its path: tower_weights: {{{spec.name}: PATH}}"
        ) from error


def _download(repository: str, name: str) -> str:
    from huggingface_hub import hf_hub_download

    return hf_hub_download(repository, name)


def _open_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a file as views of a memory map."""
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if path.suffix not in _TORCH_SUFFIXES:
            raise InputError(
                f"{path}: expected a file that ends in .safetensors or one of {_TORCH_SUFFIXES}"
            )
        # Files from before torch 1.6 are no archives and cannot be mapped.
        mapped = zipfile.is_zipfile(path)
        loaded: Any = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except (OSError, SafetensorError, RuntimeError, pickle.UnpicklingError, EOFError) as error:
        raise InputError(
            f"{path}: cannot be read as weights ({in_words(error)}); expected a complete "
            "file of tensors and nothing else"
        ) from error
    if not isinstance(loaded, dict) or not all(isinstance(t, Tensor) for t in loaded.values()):
        raise InputError(f"{path}: expected names and tensors only, as the publishers write it")
    return loaded


def _converted(plan: NamePlan, tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """Tensors under timm's names and in timm's shapes, sorted by name."""
    for target in sorted(plan.sources):
        yield target, assemble(target, [tensors[name] for name in plan.sources[target]])


def _check_values(
    path: Path, tensors: Mapping[str, Tensor], plan: NamePlan, spec: TowerSpec
) -> None:
    """Refuses NaN and infinity, in the file or in the tower's own dtype."""
    for name in (name for names in plan.sources.values() for name in names):
        tensor = tensors[name]
        if not tensor.is_floating_point():
            continue
        if not bool(torch.isfinite(tensor).all()):
            raise InputError(f"{path}: {name} holds NaN or infinity; fetch the file again")
        if spec.dtype and not bool(torch.isfinite(tensor.to(getattr(torch, spec.dtype))).all()):
            raise InputError(
                f"{path}: {name} holds values beyond {spec.dtype}; give tower {spec.name!r} "
                "another dtype"
            )
