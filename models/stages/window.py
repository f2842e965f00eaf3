"""One optimizer step over several batches and processes: the mean loss over all its tokens.

Batches hold different numbers of trained tokens, and a mean of their means would weigh a token by
the company it is in. So every batch gives the gradient of its *sum*, and when the last batch of the
step is done, gradients are divided by the number of trained tokens of all batches on all processes.
"""

import math
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
            num_tokens: Scalar, how many these are; in host memory nothing here waits for a GPU.
        """
        loss = loss_sum.detach().double()
        # A scalar of the host goes along with the operation; a copy of it would wait.
        batch = torch.stack([loss, torch.zeros_like(loss) + num_tokens])
        self._sums = batch if self._sums is None else self._sums + batch

    def close(self, parameters: Iterable[nn.Parameter] = ()) -> tuple[float, int]:
        """Sums over all processes and starts the next window.

        Args:
            parameters: Their gradients must be finite, too: a finite loss can have others, and
                weights that took such a step would be saved before the next loss tells.

        Returns:
            Mean loss and number of trained tokens of the step.

        Raises:
            InputError: No token is trained, or loss or gradients are not finite. The optimizer has
                not stepped then, so no checkpoint holds what came of it.
        """
        if self._sums is None:
            raise RuntimeError("no batch was added since the last step")
        sums, self._sums = self._sums, None
        norm = torch.nn.utils.get_total_norm(_gradients(parameters))
        sums = torch.cat([sums, norm[None].to(sums)])
        if dist.is_available() and dist.is_initialized():
            dist.all_reduce(sums)
        loss, count, norm_sum = sums.tolist()
        if count == 0:
            raise InputError("no token of this step is trained; look at the labels of the samples")
        if not math.isfinite(loss) or not math.isfinite(norm_sum):
            found = f"loss of this step is {loss / count}"
            if math.isfinite(loss):
                found += f", but its gradients have the norm {norm_sum}"
            raise InputError(
                f"the {found}; nothing of it was saved. Lower the learning rate or lengthen the "
                "warm-up, and run the same command again: it goes on from the last checkpoint. If "
                "it happens at the same step again, look at its data, or remove the newest "
                "checkpoint to go on from the one before it"
            )
        return loss / count, int(count)


def scale_gradients(parameters: Iterable[nn.Parameter], factor: float) -> None:
    """Multiplies all gradients, shard by shard, in place."""
    with torch.no_grad():
        torch._foreach_mul_(_gradients(parameters), factor)


def _gradients(parameters: Iterable[nn.Parameter]) -> list[Tensor]:
    """Gradients, of sharded ones this process's part."""
    found = [parameter.grad for parameter in parameters if parameter.grad is not None]
    return [grad.to_local() if isinstance(grad, DTensor) else grad for grad in found]
