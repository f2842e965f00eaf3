"""The loss of a step: its sum over all trained tokens, whatever the batches are."""

import math
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from models.stages.window import StepWindow, scale_gradients
from semihvision.core.errors import InputError


def test_the_mean_is_over_tokens_and_not_over_batches() -> None:
    window = StepWindow()
    window.add(torch.tensor(10.0), torch.tensor(4))
    window.add(torch.tensor(2.0), torch.tensor(20))
    assert window.close() == (0.5, 24)
    window.add(torch.tensor(3.0), torch.tensor(3))
    assert window.close() == (1.0, 3)


class Copies(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes copies to another device, which would wait for all work queued there."""

    found = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        if func is torch.ops.aten._to_copy.default:
            self.found += made.device != args[0].device
        return made


def test_counting_tokens_on_the_host_copies_nothing_to_the_device() -> None:
    with Copies() as copies:  # type: ignore[no-untyped-call]
        StepWindow().add(torch.tensor(10.0, device="meta"), torch.tensor(4))
    assert copies.found == 0


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_ends_the_run(loss: float) -> None:
    window = StepWindow()
    window.add(torch.tensor(1.0), torch.tensor(4))
    window.add(torch.tensor(loss), torch.tensor(4))
    with pytest.raises(InputError, match="nothing of it was saved"):
        window.close()


def test_a_step_without_a_trained_token_is_refused() -> None:
    window = StepWindow()
    window.add(torch.tensor(0.0), torch.tensor(0))
    with pytest.raises(InputError, match="no token of this step is trained"):
        window.close()


def test_gradients_are_scaled_where_there_are_some() -> None:
    first, second = torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.ones(2))
    first.grad = torch.tensor([2.0, 4.0])
    scale_gradients([first, second], 0.5)
    assert first.grad.tolist() == [1.0, 2.0]
    assert second.grad is None
