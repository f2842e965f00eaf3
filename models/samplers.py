"""SVA layers inside the language model, through forward hooks on any decoder with ``.layers``.

What a call needs travels with the call: `PMCCambrian.forward` passes a `SamplerInputs` as the
keyword argument `SAMPLER_INPUTS` to the decoder, which hands its keyword arguments to every layer
(transformers' decoders do), where the hook finds it. Nothing is stored between calls, so a decode
step, which passes none, runs no sampler, and recomputation under activation checkpointing sees
what the first pass saw.

Source: cambrian.md section 9. The official code keeps the features on the model object instead,
which silently skips the samplers or feeds them the previous image; hence the check that every
sampler ran.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

from torch import Tensor, nn

from .sva import SamplerLayer
from .windows import Windows

SAMPLER_INPUTS = "sampler_inputs"
"""Keyword argument of the decoder's forward that carries the `SamplerInputs`."""


@dataclass(frozen=True)
class SamplerInputs:
    """What the samplers of one prefill read.

    Attributes:
        windows: Windows on the image grid of the M kept cells.
        positions: (M,) int64, index of each cell in the flattened (B·L) hidden states.
        ran: Indices of the samplers that ran; filled by them.
    """

    windows: Windows
    positions: Tensor
    ran: set[int] = field(default_factory=set)


def attach_samplers(
    layers: nn.ModuleList, samplers: nn.ModuleList, schedule: Mapping[int, int]
) -> None:
    """Makes samplers run after decoder layers.

    Args:
        layers: The decoder's layers; each returns its hidden states (B, L, H).
        samplers: SVA layers with query width H.
        schedule: Decoder layer index -> sampler index.
    """
    for layer_index, sampler_index in schedule.items():
        # A partial, not a closure: a deep copy of the model then refers to its own samplers.
        hook = partial(_run_sampler, cast(SamplerLayer, samplers[sampler_index]), sampler_index)
        layers[layer_index].register_forward_hook(hook, with_kwargs=True)


def check_all_ran(inputs: SamplerInputs, schedule: Mapping[int, int]) -> None:
    """Makes sure that no sampler was left out.

    Raises:
        RuntimeError: The decoder did not hand the inputs to its layers.
    """
    missing = set(schedule.values()) - inputs.ran
    if missing:
        raise RuntimeError(
            f"samplers {sorted(missing)} did not run: this decoder does not pass the keyword "
            f"argument {SAMPLER_INPUTS!r} on to its layers"
        )


def _run_sampler(
    sampler: SamplerLayer,
    sampler_index: int,
    _layer: nn.Module,
    _args: tuple[Any, ...],
    kwargs: dict[str, Any],
    hidden: Tensor,
) -> Tensor | None:
    """Replaces the hidden states of the image cells; newlines and text stay as they are."""
    inputs: SamplerInputs | None = kwargs.get(SAMPLER_INPUTS)
    if inputs is None:
        return None
    inputs.ran.add(sampler_index)
    flat = hidden.flatten(0, 1)
    updated = sampler(flat.index_select(0, inputs.positions), inputs.windows)
    return flat.index_copy(0, inputs.positions, updated.to(flat.dtype)).view_as(hidden)
