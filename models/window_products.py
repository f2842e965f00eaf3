"""Products of queries and window tokens through a per-head map, without projecting the tokens.

Legend: M queries, H heads, D head width, K tokens in a window, V their width.

With n the normalised tokens and W the map of a head, both products are derivatives of one form,
F = sum s · (x W n), linear in x (M, H, D), s (M, H, K), n (M, K, V) and W (H, D, V):

- scores of x are dF/ds = (x W) n, one number for each query, head and token;
- values of s are dF/dx = W (s n), one vector for each query and head.

So either is the other's derivative, and one function serves both backward passes. What is between
(n, x W, s n) is as large as all windows together, 38 MB for an image at 8B sizes in float32. On a
CPU the work therefore goes in chunks of queries that stay in the cache, and the backward pass
computes these again, so that nothing but the inputs is kept. On a GPU many small operations cost
more than memory does: there it is done at once, by operations that autograd and compilers know.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn import functional as F

_CHUNK_QUERIES = 48
"""On a CPU: the fastest of 48, 96 and 144 at 8B sizes."""


class WindowMap(NamedTuple):
    """What turns the tokens of a window into keys or values, up to a constant.

    Attributes:
        position: (K, V), added to the tokens before they are normalised over V.
        weight: (H, D, V), the map of each head.
        eps: Of the normalisation.
    """

    position: Tensor
    weight: Tensor
    eps: float


def window_scores(query: Tensor, tokens: Tensor, window_map: WindowMap) -> Tensor:
    """Products of queries and keys, ``query · weight · normalised tokens``.

    Args:
        query: (M, H, D).
        tokens: (M, K, V).
        window_map: Of the keys.

    Returns:
        (M, H, K).
    """
    if query.device.type != "cpu":
        return _unchunked(query, tokens, window_map, _scores)
    scores: Tensor = _Scores.apply(query, tokens, *window_map)
    return scores


def window_values(attention: Tensor, tokens: Tensor, window_map: WindowMap) -> Tensor:
    """Sums of values, ``weight · (attention · normalised tokens)``.

    Args:
        attention: (M, H, K).
        tokens: (M, K, V).
        window_map: Of the values.

    Returns:
        (M, H, D).
    """
    if attention.device.type != "cpu":
        return _unchunked(attention, tokens, window_map, _values)
    values: Tensor = _Values.apply(attention, tokens, *window_map)
    return values


def _unchunked(left: Tensor, tokens: Tensor, window_map: WindowMap, product: Any) -> Tensor:
    """All queries at once by ordinary operations, which a compiler can fuse."""
    position, weight, eps = window_map
    # All are of one dtype here; autocast would normalise in float32 and keep that. The meta device,
    # on which FLOPs are counted, knows no autocast.
    device_type = left.device.type if left.device.type != "meta" else "cpu"
    with torch.autocast(device_type, enabled=False):
        normal = F.layer_norm(tokens + position, tokens.shape[-1:], eps=eps)
        made: Tensor = product(left, normal, weight)
    return made


class _Scores(Function):
    @staticmethod
    def forward(ctx: FunctionCtx, query: Tensor, tokens: Tensor, *window_map: Any) -> Tensor:
        return _forward(ctx, query, tokens, WindowMap(*window_map), _scores)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, scores_grad: Tensor) -> tuple[Tensor | None, ...]:
        query, tokens, *rest = ctx.saved_tensors
        window_map = WindowMap(rest[0], rest[1], ctx.eps)
        return _derivatives(query, scores_grad, tokens, window_map, of_query=True)


class _Values(Function):
    @staticmethod
    def forward(ctx: FunctionCtx, attention: Tensor, tokens: Tensor, *window_map: Any) -> Tensor:
        return _forward(ctx, attention, tokens, WindowMap(*window_map), _values)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, values_grad: Tensor) -> tuple[Tensor | None, ...]:
        attention, tokens, *rest = ctx.saved_tensors
        window_map = WindowMap(rest[0], rest[1], ctx.eps)
        return _derivatives(values_grad, attention, tokens, window_map, of_query=False)


def _forward(ctx: Any, left: Tensor, tokens: Tensor, window_map: WindowMap, product: Any) -> Tensor:
    position, weight, ctx.eps = window_map
    ctx.save_for_backward(left, tokens, position, weight)
    return torch.cat(
        [
            product(left[chunk], _Normal(tokens[chunk] + position, ctx.eps).tokens, weight)
            for chunk in _chunks(left)
        ]
    )


def _scores(query: Tensor, normal: Tensor, weight: Tensor) -> Tensor:
    return _per_head(query, weight) @ normal.transpose(1, 2)


def _values(attention: Tensor, normal: Tensor, weight: Tensor) -> Tensor:
    return _per_head(attention @ normal, weight.transpose(1, 2))


def _derivatives(
    x: Tensor, s: Tensor, tokens: Tensor, window_map: WindowMap, *, of_query: bool
) -> tuple[Tensor | None, ...]:
    """Derivatives of F by x (``of_query``) or else by s, and by tokens, position and weight."""
    position, weight, eps = window_map
    left = torch.empty_like(x if of_query else s)
    tokens_grad = torch.empty_like(tokens)
    # Sums over chunks: at least in float32, whatever the tokens are in.
    sum_dtype = torch.promote_types(tokens.dtype, torch.float32)
    position_grad = torch.zeros_like(position, dtype=sum_dtype)
    weight_grad = torch.zeros_like(weight, dtype=sum_dtype)
    for chunk in _chunks(x):
        normal = _Normal(tokens[chunk] + position, eps)
        x_weight, s_normal = _per_head(x[chunk], weight), s[chunk] @ normal.tokens
        if of_query:
            left[chunk] = _per_head(s_normal, weight.transpose(1, 2))
        else:
            left[chunk] = x_weight @ normal.tokens.transpose(1, 2)
        pair = x[chunk].permute(1, 2, 0), s_normal.transpose(0, 1)
        weight_grad.baddbmm_(*(part.to(sum_dtype) for part in pair))
        placed_grad = normal.backward(s[chunk].transpose(1, 2) @ x_weight)
        position_grad += placed_grad.sum(0, dtype=sum_dtype)
        tokens_grad[chunk] = placed_grad
    return left, tokens_grad, position_grad.to(position.dtype), weight_grad.to(weight.dtype), None


class _Normal:
    """Tokens normalised over their last dimension, and the way back."""

    def __init__(self, placed: Tensor, eps: float) -> None:
        self.placed = placed
        self.tokens, *self.statistics = torch.native_layer_norm(
            placed, placed.shape[-1:], None, None, eps
        )

    def backward(self, grad: Tensor) -> Tensor:
        gradient: Tensor = torch.ops.aten.native_layer_norm_backward(
            grad,
            self.placed,
            self.placed.shape[-1:],
            *self.statistics,
            None,
            None,
            [True, False, False],
        )[0]
        return gradient


def _per_head(x: Tensor, weight: Tensor) -> Tensor:
    """(M, H, i) through the (H, i, o) maps of the heads."""
    return (x.transpose(0, 1) @ weight).transpose(0, 1)


def _chunks(x: Tensor) -> list[slice]:
    starts = range(0, len(x), _CHUNK_QUERIES)
    return [slice(start, start + _CHUNK_QUERIES) for start in starts]
