"""Mean cross-entropy of every position against the next label, computed in two ways.

Legend: B rows, L' length, H language width.

Source: cambrian.md section 10.
"""

from torch import Tensor, nn
from torch.nn import functional as F


def next_token_loss(logits: Tensor, labels: Tensor, ignore_index: int) -> Tensor:
    """The loss from the logits of every position.

    Args:
        logits: (B, L', vocabulary) float32.
        labels: (B, L') int64.
        ignore_index: Label of a token that is not trained.
    """
    return F.cross_entropy(
        logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=ignore_index
    )


def trained_loss(hidden: Tensor, labels: Tensor, head: nn.Module, ignore_index: int) -> Tensor:
    """The same loss, of which only trained positions pass the head.

    Args:
        hidden: (B, L', H), the decoder's output.
        labels: (B, L') int64.
        head: H to the vocabulary.
        ignore_index: Label of a token that is not trained.
    """
    trained = labels[:, 1:] != ignore_index
    logits = head(hidden[:, :-1][trained]).float()
    return F.cross_entropy(logits, labels[:, 1:][trained])
