"""What a stage makes of one batch: its output, the losses of its samples, answers."""

from typing import Any, cast

import torch
from torch import Tensor

from models.attention_masks import Attention
from models.modeling import PMCCambrian
from models.outputs import PMCCambrianOutput
from models.processing import PMCCambrianProcessor
from models.stages.filler import with_filler_image
from semihvision.core.batch import IGNORE_INDEX, Batch

RowLosses = dict[str, tuple[float, int]]
"""By example: its loss summed over its trained tokens, and how many these are."""


def run(network: PMCCambrian, batch: Batch, *, needs_image: bool) -> PMCCambrianOutput:
    """Forward pass with losses.

    Args:
        network: The model.
        batch: Of the data module.
        needs_image: Give a batch without images a black one of which nothing is trained.
    """
    if needs_image and not batch["pixel_values"]:
        batch = with_filler_image(batch, tuple(network.config.tower_specs))
    tensors: dict[str, Any] = {k: v for k, v in batch.items() if k != "example_ids"}
    # A process without a sample of its own gets a filler, which has no labels at all.
    tensors.setdefault("labels", torch.full_like(batch["input_ids"], IGNORE_INDEX))
    return cast(PMCCambrianOutput, network(**tensors))


def row_losses(output: PMCCambrianOutput, batch: Batch) -> RowLosses:
    """Losses of a batch that is not packed."""
    labels = batch.get("labels")
    counts = [0] if labels is None else (labels[:, 1:] != IGNORE_INDEX).sum(dim=1).tolist()
    sums = cast(Tensor, output.row_loss_sums).tolist()
    return {
        example_id: (loss_sum, count)
        for example_id, loss_sum, count in zip(batch["example_ids"], sums, counts, strict=False)
    }


def answers(
    network: PMCCambrian,
    processor: PMCCambrianProcessor,
    batch: Batch,
    *,
    attention: Attention,
    max_new_tokens: int,
) -> list[dict[str, str]]:
    """Greedy answers: one ``{"id": ..., "answer": ...}`` per sample.

    Args:
        network: The model.
        processor: Its own.
        batch: Samples that end before their answer.
        attention: That of the model outside of this.
        max_new_tokens: Longest answer.
    """
    inputs: dict[str, Any] = {k: v for k, v in batch.items() if k not in ("example_ids", "labels")}
    # One sample a row: FlexAttention has nothing to skip, and would compile every length.
    network.set_attn_implementation("sdpa")
    try:
        generated = network.generate(**inputs, max_new_tokens=max_new_tokens, do_sample=False)
    finally:
        network.set_attn_implementation(attention)
    return [
        {"id": example_id, "answer": processor.decode(ids.tolist())}
        for example_id, ids in zip(batch["example_ids"], generated, strict=True)
    ]
