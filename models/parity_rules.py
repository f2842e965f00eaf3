"""Which rows of a golden file say nothing about a correct model, by rule and never by value.

The official code gives outputs without meaning in four cases (B rows):

- Samplers inside the decoder read and replace the positions from ``image_position`` on, whatever
  stands there: text in a row that only consumed an image, shifted tokens behind padding on the
  left, the wrong tokens where the placeholder stood elsewhere. They know one image a row.
- Without an attention mask, rows padded on the left attend to their padding.
- A row padded on the left has its first token predicted from padding.
- Generation continues a row behind its padding on the right.

Source: cambrian.md sections 8, 9, 15 and 16.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from .configuration import PMCCambrianConfig
from .golden import Golden, consumed_images

OVERWRITTEN = "the official samplers overwrite positions that hold no image, or not this one's"
ATTENDS_PADDING = "without an attention mask the official code attends to padding on the left"
FIRST_FROM_PADDING = "the official code predicts the first token of a row from padding on the left"
BEHIND_PADDING = "the official code continues the row behind its padding on the right"

_WHOLE_BATCH = ("loss",)
"""Outputs that are one number for all rows."""


def meaningless_rows(
    golden: Golden,
    config: PMCCambrianConfig,
    *,
    mask: Tensor,
    labels: Tensor | None,
) -> dict[str, dict[str, Tensor]]:
    """Rows to leave out.

    Args:
        golden: The file.
        config: Configuration of the model that recomputes it.
        mask: (B, L') bool, the expanded attention mask.
        labels: (B, L') the expanded labels.

    Returns:
        Output -> reason -> (B,) bool; rows with the value True are left out.
    """
    left, right = ~mask[:, 0], ~mask[:, -1]
    overwritten = torch.zeros_like(left)
    if config.sampler_layers and len(golden.under("inputs.").get("image_sizes_wh", ())):
        overwritten = _overwritten(golden, config, mask)
    attends = left if "inputs.attention_mask" not in golden.tensors else torch.zeros_like(left)
    both = {OVERWRITTEN: overwritten, ATTENDS_PADDING: attends}
    from_padding = torch.zeros_like(left)
    if labels is not None:
        first = mask.int().argmax(dim=1, keepdim=True)
        from_padding = left & (labels.gather(1, first)[:, 0] != config.ignore_index)
    return {
        "logits": both,
        "loss": {**both, FIRST_FROM_PADDING: from_padding},
        "greedy_ids": {**both, BEHIND_PADDING: right},
    }


def _overwritten(golden: Golden, config: PMCCambrianConfig, mask: Tensor) -> Tensor:
    """(B,) bool: rows other than of one image that starts at ``image_position`` once padded.

    Row i meets the batch's image i, so a row behind one of several images meets another's.
    """
    ids = golden.tensors["inputs.input_ids"]
    given = golden.tensors.get("inputs.attention_mask", torch.ones_like(ids)).bool()
    at = golden.config.get("image_position")
    flags = []
    consumed = 0
    for i, (row, kept, expanded) in enumerate(zip(ids, given, mask, strict=True)):
        images = (row[kept] == config.image_token_id).nonzero()[:, 0].tolist()
        own = len(images) == 1 and consumed == i
        padding = int(expanded.int().argmax())
        flags.append(not own or (at is not None and padding + images[0] != at))
        consumed += consumed_images([len(images)])
    return torch.tensor(flags)


def kept_rows(
    name: str, reasons: Mapping[str, Tensor], num_rows: int, left_out: dict[str, str]
) -> Tensor:
    """Rows to compare; what is left out is written down.

    Args:
        name: Output.
        reasons: Reason -> (B,) bool, as `meaningless_rows` gives them; empty to keep every row.
        num_rows: B.
        left_out: Output, or output and rows -> why; added to.

    Returns:
        (B,) bool.
    """
    rows = torch.zeros(num_rows, dtype=torch.bool)
    for flags in reasons.values():
        rows = rows | flags
    if name in _WHOLE_BATCH and rows.any():
        rows = torch.ones_like(rows)
    if rows.any():
        listed = ", ".join(map(str, rows.nonzero()[:, 0].tolist()))
        why = [reason for reason, flags in reasons.items() if flags.any()]
        left_out[name if name in _WHOLE_BATCH else f"{name} of rows {listed}"] = "; ".join(why)
    return ~rows


def new_tokens(golden: Golden, mask: Tensor, kept: Tensor) -> Tensor:
    """The greedy tokens without the id of begin-of-text that the official code may put first.

    Whether it did shows where the official logits name another first token.

    Args:
        golden: The file, with ``outputs.greedy_ids``.
        mask: (B, L') bool, the expanded attention mask.
        kept: (B,) bool, rows whose tokens have a meaning.

    Returns:
        (B, new tokens) int64.
    """
    ids = golden.tensors["outputs.greedy_ids"]
    begin = golden.config.get("bos_token_id", 1)  # 1 is the default of a Llama configuration
    if not (ids[:, 0] == begin).all():
        return ids
    logits = golden.tensors.get("outputs.logits")
    if logits is not None and logits.shape[:2] == mask.shape:
        positions = torch.arange(mask.shape[1])
        last = (mask * positions).argmax(dim=1)
        named = logits[torch.arange(len(mask)), last].argmax(dim=-1)
        if (named[kept] == ids[kept, 0]).all():
            return ids
    return ids[:, 1:]
