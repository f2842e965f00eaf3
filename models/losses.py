"""Cross-entropy of every position against the next label: sums over trained tokens, in three ways.

A sum and a count, so that whoever knows all ranks and accumulation steps divides by the count of
all of them. From the logits of every position; from trained positions only; and in chunks of
trained positions, which never holds the logits of more than one chunk: at a vocabulary of 128k
those of 4,096 positions take 2 GiB in float32, and as much again for their gradient.

Legend: B rows, L' length, H language width, K trained positions, Y vocabulary.

Source: cambrian.md section 10. The chunked way is that of Liger's fused linear cross-entropy
(arXiv 2410.10989): gradients are made together with the loss, chunk by chunk.
"""

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from .host import sent

LossKind = Literal["plain", "chunked"]

CHUNK_ROWS = 1024
"""Trained positions a chunk: 0.5 GiB of float32 logits at a vocabulary of 128k."""


def count_trained_tokens(labels: Tensor, ignore_index: int) -> Tensor:
    """How many labels a loss sums over; the first label of a row has no position before it.

    Args:
        labels: (B, L) or (B, L') int64: expanding images changes no count.
        ignore_index: Label of a token that is not trained.

    Returns:
        Scalar int64.
    """
    return (labels[:, 1:] != ignore_index).sum()


def loss_from_logits(logits: Tensor, labels: Tensor, ignore_index: int) -> Tensor:
    """The loss summed, from the logits of every position.

    Args:
        logits: (B, L', Y) float32.
        labels: (B, L') int64.
        ignore_index: Label of a token that is not trained.
    """
    return F.cross_entropy(
        logits[:, :-1].flatten(0, 1),
        labels[:, 1:].flatten().to(logits.device),
        ignore_index=ignore_index,
        reduction="sum",
    )


def loss_from_hidden(
    hidden: Tensor, labels: Tensor, head: nn.Module, ignore_index: int, *, kind: LossKind
) -> Tensor:
    """The loss summed, of which only trained positions pass the head.

    Args:
        hidden: (B, L', H), the decoder's output.
        labels: (B, L') int64; in host memory nothing here waits for a GPU.
        head: H to the vocabulary.
        ignore_index: Label of a token that is not trained.
        kind: ``plain``: all trained positions at once; ``chunked``: never the logits of more than
            `CHUNK_ROWS` positions.

    Raises:
        ValueError: The chunked loss needs a linear head without bias.
    """
    following = labels[:, 1:].flatten()
    trained = (following != ignore_index).nonzero()[:, 0]
    # Of all positions, the last of each row predicts nothing.
    positions = trained + trained // max(labels.shape[1] - 1, 1)
    targets = sent(following[trained], hidden.device)
    hidden_KH = hidden.flatten(0, 1).index_select(0, sent(positions, hidden.device))
    if kind == "plain":
        return F.cross_entropy(head(hidden_KH).float(), targets, reduction="sum")
    if type(head) is not nn.Linear or head.bias is not None:
        raise ValueError(
            f"the chunked loss needs a linear head without bias, found {type(head).__name__}; "
            "choose the plain loss"
        )
    return chunked_cross_entropy(hidden_KH, head.weight, targets)


def loss_by_row(
    hidden: Tensor, labels: Tensor, head: nn.Module, ignore_index: int, *, kind: LossKind
) -> Tensor:
    """The loss of `loss_from_hidden`, summed over each row apart.

    Args:
        hidden: (B, L', H), the decoder's output.
        labels: (B, L') int64.
        head: H to the vocabulary.
        ignore_index: Label of a token that is not trained.
        kind: As in `loss_from_hidden`.

    Returns:
        (B,) float32.
    """
    rows = zip(torch.split(hidden, 1), torch.split(labels, 1), strict=True)
    return torch.stack([loss_from_hidden(*row, head, ignore_index, kind=kind) for row in rows])


def chunked_cross_entropy(
    hidden: Tensor, weight: Tensor, targets: Tensor, chunk_rows: int = CHUNK_ROWS
) -> Tensor:
    """Summed cross-entropy of a linear head, chunk by chunk.

    Gradients are computed with the loss, those of the weight summed up in float32; neither is
    computed where it is not required (a frozen head, validation).

    Args:
        hidden: (K, H).
        weight: (Y, H) of the head.
        targets: (K,) int64.
        chunk_rows: Positions a chunk.

    Returns:
        Scalar float32.
    """
    grad = torch.is_grad_enabled()
    needed = (grad and hidden.requires_grad, grad and weight.requires_grad)
    loss: Tensor = _ChunkedCrossEntropy.apply(hidden, weight, targets, chunk_rows, needed)
    return loss


class _ChunkedCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        targets: Tensor,
        chunk_rows: int,
        needed: tuple[bool, bool],
    ) -> Tensor:
        loss = torch.zeros((), dtype=torch.float32, device=hidden.device)
        grad_hidden = torch.empty_like(hidden) if needed[0] else None
        grad_weight = torch.zeros_like(weight, dtype=torch.float32) if needed[1] else None
        for start in range(0, len(hidden), chunk_rows):
            rows = slice(start, start + chunk_rows)
            logits = F.linear(hidden[rows], weight).float()
            log_sum = logits.logsumexp(dim=1, keepdim=True)
            target = targets[rows, None]
            loss += (log_sum - logits.gather(1, target)).sum()
            if not any(needed):
                continue
            # The derivative to the logits: softmax minus one at the target, in their own memory.
            grad_logits = logits.sub_(log_sum).exp_()
            grad_logits.scatter_add_(1, target, torch.full_like(log_sum, -1.0))
            small = grad_logits.to(hidden.dtype)
            if grad_hidden is not None:
                grad_hidden[rows] = small @ weight
            if grad_weight is not None:
                grad_weight += small.T @ hidden[rows]
        ctx.grads = grad_hidden, grad_weight
        ctx.weight_dtype = weight.dtype
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_loss: Tensor) -> tuple[Tensor | None, ...]:
        grad_hidden, grad_weight = ctx.grads
        if grad_hidden is not None:
            grad_hidden = grad_hidden * grad_loss.to(grad_hidden.dtype)
        if grad_weight is not None:
            grad_weight = (grad_weight * grad_loss).to(ctx.weight_dtype)
        return grad_hidden, grad_weight, None, None, None
