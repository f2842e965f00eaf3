"""Optimizer and schedule of a stage: one group of parameters per part, one rate per group."""

from collections.abc import Collection, Mapping
from typing import cast

import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from transformers import get_cosine_schedule_with_warmup

from models.modeling import PMCCambrian
from models.parts import part_of
from semihvision.core.errors import InputError

SAMPLER_PARTS = frozenset({"connector", "query", "samplers"})
"""Parts that Cambrian's `mm_vision_sampler_lr` applies to: names with vision_sampler or
vision_query (cambrian.md section 14)."""


def rates_by_part(
    parts: Collection[str], rate: float, *, samplers: float | None, towers: float | None
) -> dict[str, float]:
    """Peak rate of each part.

    Args:
        parts: Parts that are trained.
        rate: Of all that have no rate of their own.
        samplers: Of `SAMPLER_PARTS`; None: as the others.
        towers: Of the towers; None: as the others.

    Raises:
        InputError: A rate that trains nothing.
    """
    own = dict.fromkeys(SAMPLER_PARTS, samplers) | {"towers": towers}
    found = {part: rate if own.get(part) is None else own[part] for part in parts}
    rates = {part: value for part, value in found.items() if value is not None}
    if min(rates.values(), default=rate) <= 0:
        raise InputError(
            f"peak learning rates {rates}: expected more than 0; a part that is to stay as it is "
            "is left out of train_parts"
        )
    return rates


def parameter_groups(model: PMCCambrian, rates: Mapping[str, float]) -> list[dict[str, object]]:
    """Trained parameters by part, each group with its name and peak rate.

    Args:
        model: Its ``requires_grad`` says what is trained.
        rates: Peak rate of each part that may be trained.
    """
    groups: dict[str, list[torch.nn.Parameter]] = {part: [] for part in rates}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups[part_of(name)].append(parameter)
    return [
        {"params": params, "lr": rates[part], "name": part}
        for part, params in groups.items()
        if params
    ]


def adamw_with_cosine(
    groups: list[dict[str, object]],
    *,
    steps: int,
    warmup_fraction: float,
    weight_decay: float,
    beta2: float,
    fuse: bool = True,
) -> OptimizerLRSchedulerConfig:
    """AdamW; the rates rise linearly from 0, then fall as a half cosine to 0.

    Args:
        groups: See `parameter_groups`.
        steps: Optimizer steps of the run.
        warmup_fraction: Share of them over which the rates rise.
        weight_decay: AdamW's.
        beta2: AdamW's decay of squared gradients.
        fuse: Let one kernel update all weights where all of them are on GPUs.
    """
    fused = True if fuse and all_on_gpus(groups) else None
    optimizer = torch.optim.AdamW(
        groups, weight_decay=weight_decay, betas=(0.9, beta2), fused=fused
    )
    schedule = get_cosine_schedule_with_warmup(optimizer, round(warmup_fraction * steps), steps)
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def all_on_gpus(groups: list[dict[str, object]]) -> bool:
    """Whether every parameter is on a GPU; shards may be kept in host memory."""
    parameters = [p for group in groups for p in cast(list[torch.Tensor], group["params"])]
    return all(parameter.device.type == "cuda" for parameter in parameters)
