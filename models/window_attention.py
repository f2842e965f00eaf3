"""Attention of queries to windows of tokens, without projecting the tokens.

Legend: M queries, H heads, D head width, K tokens in a window, V their width; K' keys of which the
scores are known.

With n the normalised tokens of a window, W_k and W_v the maps of a head, x a query and w the
attention to the window, scores are (x W_k) n and values W_v (w n). Both are derivatives of one
form, F(x, s, W) = sum s · (x W n): the scores by s, the values by x with s = w. With g the gradient
of the values and d that of the scores, the backward pass is the derivative of
F(x, d, W_k) + F(g, w, W_v).

What is between (n, x W, s n) is as large as all windows together, 38 MB for an image at 8B sizes in
float32. On a CPU the work therefore goes in chunks of queries that stay in the cache, and the
backward pass computes these again, so that nothing but inputs and attention is kept. On a GPU many
small operations cost more than memory does: there it is done at once, by operations that autograd
and compilers know.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

_CHUNK_QUERIES = 48
"""On a CPU: the fastest of 48, 96 and 144 at 8B sizes."""


class WindowTokens(NamedTuple):
    """The windows of one tower and what turns their tokens into keys and values, up to a constant.

    Attributes:
        tokens: (M, K, V).
        position: (K, V), added to the tokens before they are normalised over V.
        key_map: (H, D, V), the map of each head to keys.
        value_map: (H, D, V), the map of each head to values.
        eps: Of the normalisation.
    """

    tokens: Tensor
    position: Tensor
    key_map: Tensor
    value_map: Tensor
    eps: float


def window_attention(
    query: Tensor, known: Tensor, towers: Sequence[WindowTokens]
) -> tuple[Tensor, Tensor]:
    """Attends to the windows of some towers, and to other keys of known scores, jointly.

    Args:
        query: (M, H, D), or (N, H, D) if every M / N queries are equal.
        known: (M, H, K' + K of every tower), added to the scores; those of the K' other keys,
            which come first, are 0 otherwise.
        towers: All of the dtype of ``query``.

    Returns:
        The summed values of the windows (M, H, D), and the attention to all keys, of the shape of
        ``known``.
    """
    if query.device.type == "cpu":
        made: tuple[Tensor, Tensor] = _Attention.apply(
            query, known, *(part for tower in towers for part in tower)
        )
        return made
    # All are of one dtype here; autocast would normalise in float32 and keep that. The meta device,
    # on which FLOPs are counted, knows no autocast.
    device_type = query.device.type if query.device.type != "meta" else "cpu"
    with torch.autocast(device_type, enabled=False):
        return _attend(query, known, towers)


def _attend(query: Tensor, known: Tensor, towers: Sequence[WindowTokens]) -> tuple[Tensor, Tensor]:
    normals = [
        F.layer_norm(tower.tokens + tower.position, tower.position.shape[-1:], eps=tower.eps)
        for tower in towers
    ]
    products = [
        _scores(_per_head(query, tower.key_map), normal)
        for tower, normal in zip(towers, normals, strict=True)
    ]
    others, *shifts = _split(known, towers)
    # Sums in float32, and slices made contiguous, in the backward pass by that conversion: matrix
    # products of rows that are not aligned cost a GPU twice as much as all others here.
    wide = torch.promote_types(query.dtype, torch.float32)
    scores = torch.cat(
        [
            others.to(wide),
            *(s + product.to(wide) for s, product in zip(shifts, products, strict=True)),
        ],
        dim=2,
    )
    attention = scores.softmax(dim=2).to(query.dtype)
    _, *weights = _split(attention, towers)
    values = [
        _per_head(weight.contiguous() @ normal, tower.value_map.transpose(1, 2))
        for tower, normal, weight in zip(towers, normals, weights, strict=True)
    ]
    return sum(values[1:], values[0]), attention


class _Attention(Function):
    @staticmethod
    def forward(ctx: Any, query: Tensor, known: Tensor, *parts: Any) -> tuple[Tensor, Tensor]:
        towers = [WindowTokens(*parts[t : t + 5]) for t in range(0, len(parts), 5)]
        ctx.eps = [tower.eps for tower in towers]
        values = query.new_empty(len(known), *query.shape[1:])
        attention = torch.empty_like(known, dtype=query.dtype)
        for alike, chunk in _chunks(query, known):
            cut = [tower._replace(tokens=tower.tokens[chunk]) for tower in towers]
            values[chunk], attention[chunk] = _attend(query[alike], known[chunk], cut)
        ctx.save_for_backward(query, attention, *(part for tower in towers for part in tower[:4]))
        return values, attention

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, values_grad: Tensor, attention_grad: Tensor
    ) -> tuple[Tensor | None, ...]:
        query, attention, *saved = ctx.saved_tensors
        parts = zip(*(saved[i::4] for i in range(4)), ctx.eps, strict=True)
        towers = [_TowerBackward(WindowTokens(*tower)) for tower in parts]
        inputs = [tower.inputs for tower in towers]
        query_grad, known_grad = torch.zeros_like(query), torch.empty_like(attention)
        for alike, chunk in _chunks(query, attention):
            left = query[alike], values_grad[chunk]
            others, *grads = _split(attention_grad[chunk], inputs)
            through = [tower.start(chunk, *left) for tower in towers]
            weighted = torch.cat([others, *map(torch.add, grads, through)], dim=2)
            weighted *= attention[chunk]
            scores_grad = weighted - attention[chunk] * weighted.sum(2, keepdim=True)
            known_grad[chunk] = scores_grad
            _, *scores_grads = _split(scores_grad, inputs)
            _, *weights = _split(attention[chunk], inputs)
            for tower, *right in zip(towers, scores_grads, weights, strict=True):
                query_grad[alike] += tower.finish(chunk, left, right)
        tower_grads = [grad for tower in towers for grad in tower.gradients()]
        return query_grad, known_grad, *tower_grads


class _TowerBackward:
    """The backward pass of one tower: a chunk of queries at a time, with sums over all."""

    def __init__(self, inputs: WindowTokens) -> None:
        self.inputs = inputs
        self.tokens_grad = torch.empty_like(inputs.tokens)
        # Sums over chunks: at least in float32, whatever the tokens are in.
        dtype = torch.promote_types(inputs.tokens.dtype, torch.float32)
        self.position_grad, *self.map_grads = (
            torch.zeros_like(x, dtype=dtype) for x in inputs[1:4]
        )

    def start(self, chunk: slice, query: Tensor, values_grad: Tensor) -> Tensor:
        """Maps queries and gradients of values; returns what the attention gets through these."""
        tokens, position, key_map, value_map, eps = self.inputs
        self.placed = tokens[chunk] + position
        self.normal, *self.statistics = torch.native_layer_norm(
            self.placed, self.placed.shape[-1:], None, None, eps
        )
        self.mapped = _per_head(query, key_map), _per_head(values_grad, value_map)
        return self.mapped[1] @ self.normal.transpose(1, 2)

    def finish(self, chunk: slice, left: Sequence[Tensor], right: Sequence[Tensor]) -> Tensor:
        """Adds to the sums, and returns the gradient of the queries.

        Args:
            chunk: As in `start`.
            left: Queries and gradients of values, as in `start`.
            right: Gradients of scores and attention, (M, H, K) each.
        """
        summed = [s @ self.normal for s in right]
        summed[0] = summed[0].sum_to_size(self.mapped[0].shape)  # one query for all windows
        for grad, x, s_normal in zip(self.map_grads, left, summed, strict=True):
            pair = x.permute(1, 2, 0), s_normal.transpose(0, 1)
            grad.baddbmm_(*(part.to(grad.dtype) for part in pair))
        normal_grad = right[0].transpose(1, 2) @ self.mapped[0]
        normal_grad.baddbmm_(right[1].transpose(1, 2), self.mapped[1])
        placed_grad = torch.ops.aten.native_layer_norm_backward(
            normal_grad,
            self.placed,
            self.placed.shape[-1:],
            *self.statistics,
            None,
            None,
            [True, False, False],
        )[0]
        self.position_grad += placed_grad.sum(0, dtype=self.position_grad.dtype)
        self.tokens_grad[chunk] = placed_grad
        return _per_head(summed[0], self.inputs.key_map.transpose(1, 2))

    def gradients(self) -> tuple[Tensor | None, ...]:
        """Of all that `WindowTokens` consists of."""
        sums = (self.position_grad, *self.map_grads)
        return self.tokens_grad, *(x.to(self.tokens_grad.dtype) for x in sums), None


def _split(x: Tensor, towers: Sequence[WindowTokens]) -> Sequence[Tensor]:
    """Splits (M, H, K' + K of every tower) into what is of other keys and of each tower."""
    num_keys = [len(tower.position) for tower in towers]
    return torch.split(x, [x.shape[2] - sum(num_keys), *num_keys], dim=2)


def _scores(mapped: Tensor, normal: Tensor) -> Tensor:
    """(M, H, K): mapped queries (M or N, H, V) and windows (M, K, V)."""
    if len(mapped) == len(normal):
        return mapped @ normal.transpose(1, 2)
    flat = normal.reshape(len(mapped), -1, normal.shape[2]) @ mapped.transpose(1, 2)
    return flat.reshape(*normal.shape[:2], -1).transpose(1, 2)


def _per_head(x: Tensor, weight: Tensor) -> Tensor:
    """(M, H, i) through the (H, i, o) maps of the heads."""
    return (x.transpose(0, 1) @ weight).transpose(0, 1)


def _chunks(query: Tensor, known: Tensor) -> Iterator[tuple[slice, slice]]:
    """Chunks of the M windows, each after its rows of the M or N queries."""
    alike = len(known) // len(query)
    if alike == 1:
        for start in range(0, len(query), _CHUNK_QUERIES):
            chunk = slice(start, start + _CHUNK_QUERIES)
            yield chunk, chunk
        return
    for row in range(len(query)):
        end = (row + 1) * alike
        for start in range(row * alike, end, _CHUNK_QUERIES):
            yield slice(row, row + 1), slice(start, min(start + _CHUNK_QUERIES, end))
