"""The depthwise kernel against PyTorch's convolution, and what replacing changes."""

import pytest
import timm
import torch

from models.depthwise import DepthwiseConv2d, replace_depthwise


def _convnext() -> torch.nn.Module:
    torch.manual_seed(0)
    return timm.create_model("convnext_atto", num_classes=0, depths=(1, 1, 1, 1), dims=(8, 8, 8, 8))


def test_replacing_keeps_parameters_names_and_results() -> None:
    network = _convnext().eval()
    pixels = torch.randn(2, 3, 64, 64)
    names, before = list(network.state_dict()), network(pixels)
    parameters = [id(parameter) for parameter in network.parameters()]
    replace_depthwise(network)
    assert list(network.state_dict()) == names
    assert [id(parameter) for parameter in network.parameters()] == parameters
    assert sum(isinstance(module, DepthwiseConv2d) for module in network.modules()) == 4
    torch.testing.assert_close(network(pixels), before, rtol=0, atol=0)


def test_only_depthwise_convolutions_of_stride_1_are_replaced() -> None:
    network = torch.nn.Sequential(
        torch.nn.Conv2d(8, 8, 3, padding=1),
        torch.nn.Conv2d(8, 8, 3, padding=1, groups=8, stride=2),
        torch.nn.Conv2d(8, 16, 3, padding=1, groups=8),
        torch.nn.Conv2d(8, 8, 3, padding=0, groups=8),
    )
    replace_depthwise(network)
    assert not any(isinstance(module, DepthwiseConv2d) for module in network)


def test_a_replaced_convolution_still_trains() -> None:
    conv = torch.nn.Sequential(torch.nn.Conv2d(4, 4, 7, padding=3, groups=4))
    replace_depthwise(conv)
    conv(torch.randn(1, 4, 9, 9)).sum().backward()
    assert conv[0].weight.grad is not None


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize("shape", [(2, 24, 10, 9), (1, 70, 5, 17), (3, 384, 32, 32)])
@pytest.mark.parametrize("side", [3, 7])
def test_kernel_agrees_with_float64(dtype: torch.dtype, shape: tuple[int, ...], side: int) -> None:
    torch.manual_seed(0)
    channels = shape[1]
    conv = torch.nn.Conv2d(channels, channels, side, padding=side // 2, groups=channels)
    holder = torch.nn.Sequential(conv).to("cuda", dtype)
    pixels = torch.randn(shape, device="cuda", dtype=dtype)
    with torch.no_grad():
        exact = holder.double()(pixels.double())
        replace_depthwise(holder.to(dtype))
        found = holder(pixels)
    assert found.is_contiguous(memory_format=torch.channels_last)
    tolerance = {torch.bfloat16: 8e-3, torch.float16: 1e-3, torch.float32: 1e-5}[dtype]
    error = (found.double() - exact).abs().max() / exact.abs().max()
    assert error < tolerance
