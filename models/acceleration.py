"""Activation checkpointing and compilation of the repeated blocks, in place and without new names.

Both replace a block's `forward`, so hooks stay outside: the samplers' (they are blocks of their own
and treated the same way) and those of sharding, which gathers a block's weights before it is
recomputed.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import torch
from torch import nn
from torch.utils.checkpoint import (
    CheckpointPolicy,
    checkpoint,
    create_selective_checkpoint_contexts,
)

from .modeling import PMCCambrian
from .sharding import decoder_layers, sva_layers, tower_blocks

ActivationCheckpointing = Literal["none", "selective", "full"]
"""``none`` keeps every activation, ``full`` recomputes each block, ``selective`` keeps what matrix
products and attention give in decoder layers and trained towers, and recomputes the rest."""


def accelerate_blocks(
    model: PMCCambrian, *, activation_checkpointing: ActivationCheckpointing, compiled: bool
) -> None:
    """Wraps the blocks of a model; to be called before it is sharded.

    Args:
        model: Changed in place; a copy of it afterwards would share the original's blocks.
        activation_checkpointing: For decoder and SVA layers, and blocks of trained towers.
        compiled: Compile every block; all lengths are one dynamic size.
    """
    for block in decoder_layers(model):
        _wrap(block, activation_checkpointing, compiled)
    for block in sva_layers(model):
        # They work in place on what their matrix products give, so those cannot be kept.
        _wrap(block, "none" if activation_checkpointing == "none" else "full", compiled)
    for tower in model.towers:
        trained = any(parameter.requires_grad for parameter in tower.parameters())
        for block in tower_blocks(tower):
            _wrap(block, activation_checkpointing if trained else "none", compiled)


def _wrap(block: nn.Module, policy: ActivationCheckpointing, compiled: bool) -> None:
    forward: Callable[..., Any] = block.forward
    if policy != "none":
        forward = _checkpointed(forward, policy)
    if compiled:
        forward = torch.compile(forward)
    if forward is not block.forward:
        block.forward = forward


def _checkpointed(forward: Callable[..., Any], policy: ActivationCheckpointing) -> Any:
    extra: dict[str, Any] = {}
    if policy == "selective":
        extra["context_fn"] = partial(create_selective_checkpoint_contexts, _keep_products)

    def recomputed(*args: Any, **kwargs: Any) -> Any:
        if not torch.is_grad_enabled():
            return forward(*args, **kwargs)
        return checkpoint(forward, *args, use_reentrant=False, **extra, **kwargs)

    return recomputed


_PRODUCTS = frozenset(
    {
        torch.ops.aten.mm.default,
        torch.ops.aten.addmm.default,
        torch.ops.aten.bmm.default,
        torch.ops.aten._scaled_dot_product_flash_attention.default,
        torch.ops.aten._scaled_dot_product_efficient_attention.default,
        torch.ops.aten._scaled_dot_product_cudnn_attention.default,
        torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default,
    }
)


def _keep_products(_context: Any, operation: Any, *_args: Any, **_kwargs: Any) -> CheckpointPolicy:
    if operation in _PRODUCTS:
        return CheckpointPolicy.MUST_SAVE
    return CheckpointPolicy.PREFER_RECOMPUTE
