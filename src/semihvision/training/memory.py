"""Memory of a training process by part, from the shapes of a model on the meta device.

State (parameters, buffers, gradients, optimizer) is exact: FSDP2 cuts every parameter along its
first dimension into chunks of ceil(d0 / ranks) rows, and the first process holds a whole chunk of
each. What a step needs besides is estimated:

- Activations: what autograd keeps for the backward pass (`semihvision.training.activations`).
- Gathered: while a unit computes, its parameters are whole, and those of the next one are on their
  way; the root unit stays whole during the forward pass. In the backward pass the gradients of a
  unit are whole, too, in the computing dtype and once more in float32 to be summed.
- Loss: see `loss_bytes`.
- Input: pixels of the batch in float32.

An upper bound on one device: frozen weights count in float32, although a run keeps those in the
computing dtype that this holds exactly (`models.stages.building`), which shapes cannot tell.

Not counted: temporary results within an operation, fragmentation, CUDA's own memory, libraries'
workspaces. `HEADROOM` leaves room for them.
"""

import math
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any, cast

import torch
from torch import Tensor, nn

from models.acceleration import ActivationCheckpointing
from models.losses import CHUNK_ROWS, LossKind
from models.modeling import PMCCambrian
from models.sharding import units
from models.stages.building import ModelPlan, meta_model
from semihvision.core.errors import InputError
from semihvision.training.activations import BatchShape, activation_bytes
from semihvision.training.saved_tensors import ActivationBytes

HEADROOM = 0.08
"""Share of a GPU's memory that is left for what is not counted; our choice."""

_ADAM_MOMENTS = 2
_ADAM_STEP_BYTES = 4


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How a run uses devices and memory.

    Attributes:
        ranks: Processes; with more than one, or ``sharded``, FSDP2.
        compute_dtype: That of autocast and of gathered parameters; ``None`` for the parameters'.
        loss: `models.losses`.
        activation_checkpointing: `models.acceleration`.
        cpu_offload: Shards, gradients and optimizer state in host memory.
        sharded: FSDP2 with one process, too.
    """

    ranks: int = 1
    compute_dtype: torch.dtype | None = None
    loss: LossKind = "plain"
    activation_checkpointing: ActivationCheckpointing = "none"
    cpu_offload: bool = False
    sharded: bool = False

    @property
    def shards(self) -> bool:
        """Whether parameters are gathered for use."""
        return self.sharded or self.ranks > 1


@dataclass(frozen=True, kw_only=True)
class MemoryBytes:
    """Bytes of the process that needs most (the first), by part.

    Attributes:
        parameters: Its shards of all parameters.
        buffers: Whole in every process.
        gradients: Shards of those of trained parameters.
        optimizer: AdamW's two moments and step counts.
        gathered: Whole units while they compute; 0 in one process.
        weight_copies: Copies of weights in the computing dtype, made by autocast and kept for the
            backward pass; 0 where units are gathered in that dtype.
        activations: Kept for the backward pass.
        loss: Logits and their gradient.
        inputs: Pixels.
        host: Of all these what is in host memory (parameters, gradients, optimizer).
    """

    parameters: int
    buffers: int
    gradients: int
    optimizer: int
    gathered: int = 0
    weight_copies: int = 0
    activations: int = 0
    loss: int = 0
    inputs: int = 0
    host: int = 0

    @property
    def device_total(self) -> int:
        """All parts but what is in host memory."""
        return int(sum(asdict(self).values())) - 2 * self.host


def state_bytes(model: PMCCambrian, ranks: int) -> MemoryBytes:
    """Parameters, buffers, gradients and optimizer state of the first process.

    Args:
        model: On any device; what is trained decides gradients and optimizer.
        ranks: Processes it is sharded over.
    """
    parameters = list(model.parameters())
    trained = [p for p in parameters if p.requires_grad]
    gradients = sum(shard_bytes(p, ranks) for p in trained)
    return MemoryBytes(
        parameters=sum(shard_bytes(p, ranks) for p in parameters),
        buffers=sum(b.nbytes for b in model.buffers()),
        gradients=gradients,
        optimizer=_ADAM_MOMENTS * gradients + _ADAM_STEP_BYTES * len(trained),
    )


def shard_bytes(parameter: Tensor, ranks: int) -> int:
    """Bytes that the first process holds of a parameter: ceil(d0 / ranks) rows.

    Args:
        parameter: With at least one dimension.
        ranks: Processes.
    """
    rows, size = parameter.shape[0], parameter.numel() * parameter.element_size()
    return int(math.ceil(rows / ranks) * (size // rows))


def gathered_bytes(model: PMCCambrian, compute_dtype: torch.dtype | None) -> int:
    """Whole parameters and gradients at the worst moment of a sharded step.

    Args:
        model: Unsharded, on any device.
        compute_dtype: See `Layout`.
    """
    held, gradients, seen = [], [0], set[int]()
    for unit in units(model):
        own = [p for m in unit for p in m.parameters() if id(p) not in seen]
        seen.update(map(id, own))
        sizes = [p.numel() * _itemsize(p, compute_dtype) for p in own]
        held.append(sum(sizes))
        trained = [(p, size) for p, size in zip(own, sizes, strict=True) if p.requires_grad]
        gradients.append(sum(size + 4 * p.numel() for p, size in trained))
    *others, root = held
    pairs = [a + b for a, b in pairwise(others)]
    return root + max(pairs, default=0) + max(gradients)


def _itemsize(parameter: nn.Parameter, compute_dtype: torch.dtype | None) -> int:
    # Frozen towers keep a low dtype of their own.
    own = parameter.element_size()
    return own if compute_dtype is None else min(own, compute_dtype.itemsize)


def loss_bytes(model: PMCCambrian, scored_tokens: int, layout: Layout) -> int:
    """Logits in the computing dtype, in float32, their log-softmax and gradient in float32.

    The chunked loss holds the logits and their gradient for at most `models.losses.CHUNK_ROWS`
    positions, the gradient of all positions, and a float32 one of the head where it is trained.

    Args:
        model: On any device.
        scored_tokens: Positions that pass the head.
        layout: Which loss, in which dtype.
    """
    head: Any = model.get_output_embeddings()
    vocabulary, width = map(int, head.weight.shape)
    item = layout.compute_dtype.itemsize if layout.compute_dtype else 4
    if layout.loss == "plain":
        return scored_tokens * vocabulary * (item + 12)
    logits = min(scored_tokens, CHUNK_ROWS) * vocabulary * (2 * item + 4)
    of_head = 4 * vocabulary * width if head.weight.requires_grad else 0
    return logits + of_head + scored_tokens * width * item


def memory_bytes(plan: ModelPlan, layout: Layout, batch: BatchShape) -> MemoryBytes:
    """Memory of a step.

    Args:
        plan: The model.
        layout: How it runs.
        batch: The largest batch of a process.

    Raises:
        InputError: More processes than units, or nothing is trained.
    """
    model = meta_model(replace(plan, activation_checkpointing="none", compiled=False))
    if layout.ranks > len(units(model)):
        raise InputError(
            f"{layout.ranks} GPUs for a model of {len(units(model))} units; use at most as many "
            "GPUs as units"
        )
    state = state_bytes(model, layout.ranks)
    gathered = gathered_bytes(model, layout.compute_dtype) if layout.shards else 0
    if layout.shards and layout.compute_dtype is not None:
        # As they are once they are gathered; towers keep a dtype of their own.
        cast(Any, model).to(layout.compute_dtype)
    kept: ActivationBytes = activation_bytes(
        model,
        batch,
        compute_dtype=layout.compute_dtype,
        activation_checkpointing=layout.activation_checkpointing,
    )
    config = plan.config
    pixels = sum(3 * spec.input_side_px**2 for spec in config.tower_specs)
    moved = state.parameters + state.gradients + state.optimizer
    return replace(
        state,
        gathered=gathered,
        weight_copies=kept.weight_copies,
        activations=kept.activations,
        loss=loss_bytes(model, batch.scored_tokens, layout),
        inputs=4 * pixels * batch.images,
        host=moved if layout.cpu_offload and layout.shards else 0,
    )
