"""Optimizer and schedule of a stage: one group of parameters per part, one rate per group."""

from collections.abc import Mapping

import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from transformers import get_cosine_schedule_with_warmup

from models.modeling import PMCCambrian
from models.parts import part_of


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
) -> OptimizerLRSchedulerConfig:
    """AdamW; the rates rise linearly from 0, then fall as a half cosine to 0.

    Args:
        groups: See `parameter_groups`.
        steps: Optimizer steps of the run.
        warmup_fraction: Share of them over which the rates rise.
        weight_decay: AdamW's.
        beta2: AdamW's decay of squared gradients.
    """
    optimizer = torch.optim.AdamW(groups, weight_decay=weight_decay, betas=(0.9, beta2))
    schedule = get_cosine_schedule_with_warmup(optimizer, round(warmup_fraction * steps), steps)
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
