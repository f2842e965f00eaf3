"""What the model returns: loss and logits from the decoder's hidden states.

Legend: B rows, L' length, H language width.
"""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from transformers.modeling_outputs import CausalLMOutputWithPast

from .losses import (
    LossKind,
    count_trained_tokens,
    loss_by_row,
    loss_from_hidden,
    loss_from_logits,
)


@dataclass
class PMCCambrianOutput(CausalLMOutputWithPast):
    """Loss and logits.

    Attributes:
        loss_sum: Cross-entropy summed over the trained tokens; with labels only.
        num_trained_tokens: Scalar int64, how many these are.
        row_loss_sums: (B,) float32, ``loss_sum`` by row; with labels and in evaluation mode only.
    """

    loss_sum: Tensor | None = None
    num_trained_tokens: Tensor | None = None
    row_loss_sums: Tensor | None = None


def output_of(
    decoded: Any,
    labels: Tensor | None,
    head: nn.Module,
    ignore_index: int,
    *,
    training: bool,
    kind: LossKind,
    logits_to_keep: int,
    num_items_in_batch: Tensor | int | None,
) -> PMCCambrianOutput:
    """Loss, and logits where they are wanted.

    Args:
        decoded: The decoder's output: hidden states (B, L', H) and cache.
        labels: (B, L') int64; ``None`` for logits alone.
        head: H to the vocabulary.
        ignore_index: Label of a token that is not trained.
        training: No logits and no losses by row.
        kind: ``chunked``: no logits either.
        logits_to_keep: Only the last that many logits; 0 keeps all.
        num_items_in_batch: Trained tokens that the loss is the mean over; ``None`` for these.
    """
    hidden, logits, by_row = decoded.last_hidden_state, None, None
    if labels is None:
        logits = head(hidden[:, -logits_to_keep:]).float()
        return PMCCambrianOutput(logits=logits, past_key_values=decoded.past_key_values)
    if training or kind == "chunked":
        total = loss_from_hidden(hidden, labels, head, ignore_index, kind=kind)
    else:
        logits = head(hidden).float()
        total = loss_from_logits(logits, labels, ignore_index)
        logits = logits[:, -logits_to_keep:]
    if not training:
        by_row = loss_by_row(hidden, labels, head, ignore_index, kind=kind)
    num_trained = count_trained_tokens(labels, ignore_index)
    divisor = num_trained if num_items_in_batch is None else num_items_in_batch
    return PMCCambrianOutput(
        loss=total / divisor,
        logits=logits,
        past_key_values=decoded.past_key_values,
        loss_sum=total,
        num_trained_tokens=num_trained,
        row_loss_sums=by_row,
    )
