"""Resizing of a tower's grid: in float32 on every device, gradients too."""

import pytest
import torch
from torch.nn import functional as F

from models.towers import resize_grid


def test_resize_is_bilinear_in_float32_without_antialiasing() -> None:
    grid = torch.randn(1, 4, 9, 9, dtype=torch.bfloat16)
    expected = F.interpolate(grid.float(), size=(4, 4), mode="bilinear", align_corners=False)
    assert torch.equal(resize_grid(grid, 4), expected.bfloat16())
    assert resize_grid(grid, 9) is grid


@pytest.mark.gpu
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("side", "to"), [(27, 24), (256, 96), (32, 96)])
def test_a_gpu_resizes_half_precision_by_way_of_float32(
    layout: torch.memory_format, side: int, to: int
) -> None:
    grid = torch.randn(2, 24, side, side).half().contiguous(memory_format=layout)
    found = resize_grid(grid.cuda(), to).cpu()
    torch.testing.assert_close(found, resize_grid(grid, to), rtol=2e-3, atol=1e-3)


@pytest.mark.gpu
def test_a_gpu_adds_gradients_of_trained_towers_up_in_float32() -> None:
    grid = torch.randn(2, 24, 32, 32).bfloat16()
    weights = torch.rand(2, 24, 96, 96)
    found = grid.cuda().requires_grad_()
    (resize_grid(found, 96).float() * weights.cuda()).sum().backward()
    exact = grid.double().requires_grad_()
    resized = F.interpolate(exact, size=(96, 96), mode="bilinear", align_corners=False)
    # What comes in is rounded to bfloat16 before it is added up.
    resized.backward(weights.bfloat16().double())
    assert found.grad is not None
    assert exact.grad is not None
    torch.testing.assert_close(
        found.grad.cpu().double(), exact.grad.bfloat16().double(), rtol=1e-2, atol=1e-5
    )
