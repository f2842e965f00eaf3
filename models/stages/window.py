"""One optimizer step over several batches and processes: the mean loss over all its tokens.

Batches hold different numbers of trained tokens, and a mean of their means would weigh a token by
the company it is in. So every batch gives the gradient of its *sum*, and when the last batch of the
step is done, gradients are divided by the number of trained tokens of all batches on all processes.
"""

from collections.abc import Iterable

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from semihvision.core.errors import InputError


class StepWindow:
    """Loss and tokens of the batches of one optimizer step."""

    def __init__(self) -> None:
        self._sums: Tensor | None = None

    def add(self, loss_sum: Tensor, num_tokens: Tensor) -> None:
        """Notes one batch of this process.

        Args:
            loss_sum: Scalar, the loss summed over trained tokens.
            num_tokens: Scalar, how many these are.
        """
        batch = torch.stack([loss_sum.detach().double(), num_tokens.double()])
        self._sums = batch if self._sums is None else self._sums + batch

    def close(self) -> tuple[float, int]:
        """Sums over all processes and starts the next window.

        Returns:
            Mean loss and number of trained tokens of the step.

        Raises:
            InputError: No token is trained, or the loss is not finite. The optimizer has not
                stepped then, so no checkpoint holds what came of it.
        """
        if self._sums is None:
            raise RuntimeError("no batch was added since the last step")
        sums, self._sums = self._sums, None
        if dist.is_available() and dist.is_initialized():
            dist.all_reduce(sums)
        loss, count = sums.tolist()
        if count == 0:
            raise InputError("no token of this step is trained; look at the labels of the samples")
        if not torch.isfinite(sums).all():
            raise InputError(
                f"the loss of this step is {loss / count}; nothing of it was saved. Lower the "
                "learning rate or lengthen the warm-up, and run the same command again: it goes on "
                "from the last checkpoint. If it happens at the same step again, look at its data"
            )
        return loss / count, int(count)


def scale_gradients(parameters: Iterable[nn.Parameter], factor: float) -> None:
    """Multiplies all gradients, shard by shard, in place."""
    found = [parameter.grad for parameter in parameters if parameter.grad is not None]
    with torch.no_grad():
        local = [grad.to_local() if isinstance(grad, DTensor) else grad for grad in found]
        torch._foreach_mul_(local, factor)
