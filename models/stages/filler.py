"""An image for batches that have none, where every process must run the same parts of the model."""

import torch
from torch import Tensor

from models.configuration import TowerSpec
from semihvision.core.batch import IGNORE_INDEX, IMAGE_TOKEN_ID, Batch


def with_filler_image(batch: Batch, towers: tuple[TowerSpec, ...]) -> Batch:
    """The batch with one more row, a black image of which nothing is trained.

    Sharded weights are gathered by all processes together, unit by unit. A process whose batch had
    no image would leave towers and connector out, and all others would wait for it.

    Args:
        batch: Without images.
        towers: Of the model.
    """
    length = batch["input_ids"].shape[1]
    device = batch["input_ids"].device

    def row(name: str, first: int, rest: int) -> Tensor:
        tensor: Tensor = batch[name]  # type: ignore[literal-required]
        added = torch.full((1, length), rest, dtype=tensor.dtype, device=device)
        added[0, 0] = first
        return torch.cat([tensor, added])

    filled = batch.copy()
    filled["input_ids"] = row("input_ids", IMAGE_TOKEN_ID, 0)
    filled["attention_mask"] = row("attention_mask", 1, 0)
    if "labels" in batch:
        filled["labels"] = row("labels", IGNORE_INDEX, IGNORE_INDEX)
    if "segment_ids" in batch:
        filled["segment_ids"] = row("segment_ids", 0, -1)
    if "branch_ids" in batch:
        filled["branch_ids"] = row("branch_ids", 0, 0)
    filled["pixel_values"] = [
        torch.zeros(1, 3, spec.input_side_px, spec.input_side_px, device=device) for spec in towers
    ]
    filled["image_sizes_wh"] = torch.ones(1, 2, dtype=torch.int64, device=device)
    return filled
