"""Depthwise convolution of frozen ConvNeXt towers on a GPU, as a Triton kernel.

A 7x7 depthwise convolution moves few bytes and computes little, yet PyTorch's channels-last kernel
takes 40 % of ConvNeXt-XXL's forward pass at 1024 px (H200, bfloat16). This one loads a pixel once
for four rows of output instead of once for each of its 49 uses; sums are in float32. Forward only:
a tower that is trained takes PyTorch's way.
"""

import torch
from torch import Tensor, nn

try:
    import triton
    import triton.language as tl
except ImportError:  # PyTorch for CPUs comes without Triton.
    triton = None

_ROWS, _COLUMNS, _CHANNELS = 4, 8, 64
"""Output block of one program: the fastest of twelve that were tried on an H200."""


class DepthwiseConv2d(nn.Conv2d):
    """A depthwise convolution of stride 1 that keeps the size, fast where no gradient is wanted."""

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, H, W).

        Args:
            input: Taken as channels-last data on a GPU; anything else goes PyTorch's way.
        """
        fast = input.is_cuda and not torch.is_grad_enabled() and input.dtype == self.weight.dtype
        if triton is None or not fast or self.bias is None:
            return super().forward(input)
        return _depthwise(input, self.weight, self.bias)


def replace_depthwise(module: nn.Module) -> None:
    """Replaces the depthwise convolutions below a module; parameters and their names stay.

    Args:
        module: Changed in place.
    """
    for parent in list(module.modules()):
        for name, child in parent.named_children():
            if type(child) is nn.Conv2d and _is_depthwise(child):
                with torch.device("meta"):
                    made = DepthwiseConv2d(
                        child.in_channels,
                        child.out_channels,
                        child.kernel_size,  # type: ignore[arg-type]
                        padding=child.padding,  # type: ignore[arg-type]
                        groups=child.groups,
                        bias=child.bias is not None,
                    )
                made.weight, made.bias = child.weight, child.bias
                setattr(parent, name, made)


def _is_depthwise(conv: nn.Conv2d) -> bool:
    (kernel, width), same = conv.kernel_size, conv.kernel_size[0] // 2
    return (
        conv.groups == conv.in_channels == conv.out_channels
        and kernel == width
        and kernel % 2 == 1
        and conv.stride == conv.dilation == (1, 1)
        and conv.padding == (same, same)
        and conv.padding_mode == "zeros"
    )


def _depthwise(image: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    num_images, channels, height, width = image.shape
    image = image.contiguous(memory_format=torch.channels_last)
    output = torch.empty_like(image, memory_format=torch.channels_last)
    side = weight.shape[-1]
    taps = weight.reshape(channels, side * side).t().float().contiguous()
    tiles = triton.cdiv(height, _ROWS) * triton.cdiv(width, _COLUMNS)
    grid = (num_images * tiles, triton.cdiv(channels, _CHANNELS))
    _kernel[grid](
        image, taps, bias, output, height, width, channels, side, _COLUMNS, _CHANNELS, num_warps=4
    )
    return output


if triton is not None:

    @triton.jit  # type: ignore[untyped-decorator]
    def _kernel(  # type: ignore[no-untyped-def]
        image,
        taps,
        bias,
        output,
        height,
        width,
        channels,
        side: tl.constexpr,
        columns: tl.constexpr,
        block: tl.constexpr,
    ):
        """Four rows by `columns` of output pixels, `block` channels; channels-last layout."""
        tile = tl.program_id(0)
        tiles_across, tiles_down = tl.cdiv(width, columns), tl.cdiv(height, 4)
        x = (tile % tiles_across) * columns + tl.arange(0, columns)
        top = ((tile // tiles_across) % tiles_down) * 4
        first = (tile // (tiles_across * tiles_down)).to(tl.int64) * height * width * channels
        c = tl.program_id(1) * block + tl.arange(0, block)
        c_inside = c < channels
        row0 = tl.zeros((columns, block), tl.float32)
        row0 += tl.load(bias + c, mask=c_inside, other=0).to(tl.float32)[None, :]
        row1, row2, row3 = row0, row0, row0
        for i in tl.static_range(side + 3):
            y = top + i - side // 2
            for j in tl.static_range(side):
                at = x + j - side // 2
                inside = (at >= 0) & (at < width) & (y >= 0) & (y < height)
                pixel = tl.load(
                    image + first + (y * width + at)[:, None] * channels + c[None, :],
                    mask=inside[:, None] & c_inside[None, :],
                    other=0,
                ).to(tl.float32)
                tap = taps + j * channels + c
                if i < side:
                    row0 += pixel * tl.load(tap + i * side * channels, mask=c_inside)[None, :]
                if i >= 1 and i - 1 < side:
                    row1 += pixel * tl.load(tap + (i - 1) * side * channels, mask=c_inside)[None, :]
                if i >= 2 and i - 2 < side:
                    row2 += pixel * tl.load(tap + (i - 2) * side * channels, mask=c_inside)[None, :]
                if i >= 3:
                    row3 += pixel * tl.load(tap + (i - 3) * side * channels, mask=c_inside)[None, :]
        place = output + first + (top * width + x)[:, None] * channels + c[None, :]
        step = width * channels
        kept = (x < width)[:, None] & c_inside[None, :]
        kind = output.dtype.element_ty
        tl.store(place, row0.to(kind), mask=kept)
        tl.store(place + step, row1.to(kind), mask=kept & (top + 1 < height))
        tl.store(place + 2 * step, row2.to(kind), mask=kept & (top + 2 < height))
        tl.store(place + 3 * step, row3.to(kind), mask=kept & (top + 3 < height))
