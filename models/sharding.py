"""Which parameters are sharded together (FSDP2), and how sharded weights are filled and read.

Units, innermost first: the blocks of each tower and the rest of the tower; each projector; each SVA
layer of connector and samplers; `mm_projector`; token embeddings; each decoder layer, its adapters
apart; the final norm. What is left forms the root unit: query, newline and head. Frozen and trained
parameters never share a unit, with one exception: while the language model is frozen, its head is
in the root unit beside the trained query and newline, because the chunked loss reads the head's
weight without calling it, and only the root's weights are whole during the whole forward pass.

A sharded model is built on the meta device and filled tensor by tensor, so no process but the first
ever holds more than its own shards and one whole tensor.

Every process must run the same units in every step, else the collectives wait for ever:
`models.stages.filler` gives a batch without images a blank one.
"""

import re
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import (
    CPUOffloadPolicy,
    MixedPrecisionPolicy,
    OffloadPolicy,
    fully_shard,
)
from torch.distributed.tensor import DTensor, distribute_tensor

from semihvision.core.errors import InputError

from .lora import is_adapter
from .modeling import PMCCambrian

_TOWER_BLOCK = re.compile(r"(.*\.)?(blocks|layer\d+)\.\d+")
"""Names of a timm model's blocks: ViT and ConvNeXt have ``blocks``, residual networks layers."""


def tower_blocks(tower: nn.Module) -> list[nn.Module]:
    """The repeated blocks of a tower, in order."""
    return [module for name, module in tower.named_modules() if _TOWER_BLOCK.fullmatch(name)]


def sva_layers(model: PMCCambrian) -> list[nn.Module]:
    """The SVA layers of connector and samplers."""
    groups: Any = model.connector
    return [layer for group in groups for layer in group] + list(model.samplers)


def decoder_layers(model: PMCCambrian) -> list[nn.Module]:
    """The decoder's layers."""
    return list(model.language_model.model.layers)


def units(model: PMCCambrian) -> list[list[nn.Module]]:
    """Modules that are sharded together, innermost first; the model itself comes last."""
    found: list[list[nn.Module]] = []
    for tower in model.towers:
        found += [[block] for block in tower_blocks(tower)] + [[tower]]
    found += [[projector] for projector in model.projectors]
    found += [[layer] for layer in sva_layers(model)] + [[model.mm_projector]]
    decoder: Any = model.language_model.model
    embeddings, head = model.get_input_embeddings(), model.get_output_embeddings()
    if embeddings.weight is not head.weight:
        found.append([embeddings])
    for layer in decoder.layers:
        adapters = [m for name, m in layer.named_modules() if is_adapter(name + ".weight")]
        found += [adapters, [layer]] if adapters else [[layer]]
    found += [[decoder.norm], [model]]
    return [unit for unit in found if any(True for m in unit for _ in m.parameters())]


def shard(
    model: PMCCambrian,
    mesh: DeviceMesh,
    *,
    compute_dtype: torch.dtype | None = None,
    cpu_offload: bool = False,
) -> None:
    """Shards a model in place; what is to be trained must be decided before.

    Args:
        model: On the meta device.
        mesh: One-dimensional.
        compute_dtype: What parameters are gathered and computed in; gradients are reduced in
            float32. ``None`` for the parameters' own. Frozen towers with a dtype of their own
            keep that.
        cpu_offload: Keep shards, gradients and optimizer state in host memory.

    Raises:
        InputError: There are more processes than units.
    """
    groups = units(model)
    if mesh.size() > len(groups):
        raise InputError(
            f"{mesh.size()} processes for a model of {len(groups)} units; use at most as many "
            "devices as units"
        )
    pinned = torch.cuda.is_available()
    offload = CPUOffloadPolicy(pin_memory=pinned) if cpu_offload else OffloadPolicy()
    own_dtype = {
        module for tower in model.towers if _keeps_dtype(tower) for module in tower.modules()
    }
    # Casting inputs would copy what the samplers note in a decoder layer's arguments, and pixels of
    # towers that compute in float32; whatever else comes in has the right dtype already.
    as_they_come = {model, *decoder_layers(model)}
    for group in groups:
        policy = MixedPrecisionPolicy(
            param_dtype=compute_dtype,
            reduce_dtype=None if compute_dtype is None else torch.float32,
            cast_forward_inputs=group[0] not in as_they_come,
        )
        fully_shard(
            group if len(group) > 1 else group[0],
            mesh=mesh,
            mp_policy=MixedPrecisionPolicy() if group[0] in own_dtype else policy,
            offload_policy=offload,
        )


def _keeps_dtype(tower: Any) -> bool:
    frozen = not any(parameter.requires_grad for parameter in tower.parameters())
    return frozen and getattr(tower.spec, "dtype", None) is not None


def fill(
    model: PMCCambrian, value: Callable[[str], Tensor] | None, *, device: torch.device
) -> None:
    """Gives a sharded model its weights; every process calls it.

    Args:
        model: Sharded, on the meta device.
        value: Whole tensor of a name of the model's state; called in the first process only, the
            others pass ``None``.
        device: Where the shards are kept.
    """
    model.to_empty(device=device)
    for target in _tensors(model).items():
        _fill_one(*target, value)
    _reset_unsaved_buffers(model)


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and saved buffers by name; of tied ones the first name only."""
    found: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in model.state_dict(keep_vars=True).items():
        if id(tensor) not in seen:
            seen.add(id(tensor))
            found[name] = tensor
    return found


def _fill_one(name: str, target: Tensor, value: Callable[[str], Tensor] | None) -> None:
    mesh = target.device_mesh if isinstance(target, DTensor) else None
    device = torch.device(mesh.device_type) if mesh is not None else target.device
    if value is None:
        whole = torch.empty(target.shape, dtype=target.dtype, device=device)
    else:
        whole = value(name).to(device=device, dtype=target.dtype)
    if whole.shape != target.shape:
        raise InputError(f"{name}: found shape {tuple(whole.shape)}, expected {target.shape}")
    with torch.no_grad():
        if isinstance(target, DTensor):
            part = distribute_tensor(whole, target.device_mesh, target.placements)
            target.to_local().copy_(part.to_local())
        else:
            dist.broadcast(whole, src=0)
            target.copy_(whole)


def _reset_unsaved_buffers(model: PMCCambrian) -> None:
    """Computes the buffers that no state holds, such as the frequencies of rotary positions."""
    saved = model.state_dict().keys()
    for name, module in model.named_modules():
        buffers = [key for key, _ in module.named_buffers(recurse=False)]
        if all(f"{name}.{key}".lstrip(".") in saved for key in buffers):
            continue
        if not name.startswith("language_model."):
            raise InputError(
                f"{name}: its buffers {buffers} are in no checkpoint, and a sharded model cannot "
                "compute them anew; train with this tower on one device"
            )
        model.language_model._init_weights(module)


def whole_tensor(tensor: Tensor) -> Tensor:
    """A tensor gathered from its shards, in host memory; every process must call it."""
    if isinstance(tensor, DTensor):
        # Shards kept in host memory are gathered where the processes can talk.
        on_device: Any = tensor.detach().to(tensor.device_mesh.device_type)
        tensor = on_device.full_tensor()
    return tensor.detach().cpu()
