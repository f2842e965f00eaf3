"""Spatial Vision Aggregator (SVA): one layer of attention from queries to their windows.

Legend: T towers, V vision width, r_t window side of tower t, M queries (over all images), q width
of the queries, H heads, D = V / H, K keys of one tower in a window (r_t²).

A layer costs what its key and value maps cost: at 8B sizes 46 GFLOP an image if they are applied to
every token of every window, against 0.05 for the attention itself. Where a window holds several
tokens, the maps are therefore moved to the side of the one query (`models.window_attention`). With
n = (z' - mean) / deviation, LN(z') = gamma·n + beta, w the attention and h a head:

- score: q_h · W_k,h (gamma·n + beta) = (q_h W_k,h gamma) · n + q_h · W_k,h beta. The second term is
  equal for all keys of a tower, yet not for all keys of the joint softmax.
- value: sum_k w_k W_v,h (gamma·n_k + beta) = W_v,h gamma (sum_k w_k n_k) + W_v,h beta sum_k w_k

so each map runs once a query instead of r_t² times: 10 GFLOP in all. The parameters and, up to
rounding, the result are those of the published form.

Source: cambrian.md section 6.
"""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .configuration import NUM_HEADS
from .window_attention import WindowTokens, window_attention
from .windows import Windows


class SamplerLayer(nn.Module):
    """One SVA layer: each query attends jointly to its window of every tower.

    Args:
        query_dim: q, width of the queries.
        dim: V, width of keys and of the attention.
        window_sides: r_t of each tower; a tower with r_t = 1 has no position embedding.
    """

    def __init__(self, query_dim: int, dim: int, window_sides: Sequence[int]) -> None:
        super().__init__()
        self.proj_context = nn.Linear(dim, dim, bias=False)
        self.proj_in = nn.Linear(query_dim + dim, dim, bias=False)
        self.pos_embed = nn.ParameterDict(
            {
                str(t): nn.Parameter(torch.empty(side**2, dim))
                for t, side in enumerate(window_sides)
                if side > 1
            }
        )
        self.q_proj = _normed_linear(dim)
        self.k_proj = nn.ModuleList(_normed_linear(dim) for _ in window_sides)
        self.v_proj = nn.ModuleList(_normed_linear(dim) for _ in window_sides)
        self.o_proj = nn.Linear(dim, dim, bias=False)
        self.norm = nn.LayerNorm(dim)
        self.proj_out = nn.Sequential(
            nn.Linear(dim, dim, bias=False), nn.GELU(), nn.Linear(dim, query_dim, bias=False)
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws the position embeddings from N(0, 1); the other modules reset themselves."""
        for embedding in self.pos_embed.values():
            nn.init.normal_(embedding)

    def forward(self, query: Tensor, windows: Windows, *, shared: bool = False) -> Tensor:
        """Updates queries from their windows.

        Args:
            query: (M, q), or (1, q) if ``shared``.
            windows: What the M queries may look at.
            shared: All queries start from one value and the windows are those of N full query
                grids: what depends on the query alone is then computed once an image.

        Returns:
            (M, q).
        """
        widths = [query.shape[1], windows.context.shape[1]]
        query_map, context_map = torch.split(self.proj_in.weight, widths, dim=1)
        context = F.linear(self.proj_context(windows.context), context_map)
        if not shared:
            context = context.index_select(0, windows.image_index)
        inner = F.linear(query, query_map) + context
        attended = self._attend(self.q_proj(inner), windows, shared=shared)
        if shared:
            inner = inner.index_select(0, windows.image_index)
        update: Tensor = self.proj_out(self.norm(inner + self.o_proj(attended)))
        return query + update

    def _attend(self, query: Tensor, windows: Windows, *, shared: bool) -> Tensor:
        """(M, V): one softmax over the keys of all towers; query (M, V), or (N, V) if shared."""
        query_MHD = _split_heads(query) * (query.shape[1] // NUM_HEADS) ** -0.5
        wide = [t for t in range(len(windows.keys)) if str(t) in self.pos_embed]
        order = [t for t in range(len(windows.keys)) if t not in wide] + wide
        keys, masks = ([each[t] for t in order] for each in (windows.keys, windows.masks))
        score_tower = self._shared_scores if shared else self._scores
        scores = [score_tower(t, query_MHD, tokens) for t, tokens in zip(order, keys, strict=True)]
        outside = torch.cat(masks, dim=1).logical_not()[:, None]
        known_MHK = torch.cat(scores, dim=2).masked_fill(outside, -torch.inf)
        values = []
        if wide:
            towers = [self._window_tokens(t, windows.keys[t].to(query_MHD)) for t in wide]
            value_MHD, weight_MHK = window_attention(query_MHD, known_MHK, towers)
            values.append(value_MHD)
        else:
            weight_MHK = known_MHK.softmax(dim=2).to(query.dtype)
        weights = torch.split(weight_MHK, [tokens.shape[1] for tokens in keys], dim=2)
        values += [self._values(*each) for each in zip(order, weights, keys, strict=True)]
        return sum(values[1:], values[0]).flatten(1)

    def _scores(self, tower: int, query: Tensor, tokens: Tensor) -> Tensor:
        """(M, H, K): queries (M, H, D) and the keys of one tower; of windows, what is constant."""
        if str(tower) in self.pos_embed:
            return self._constant_scores(tower, query, tokens)
        keys_MHD = _split_heads(self.k_proj[tower](tokens))[:, 0]
        return (query * keys_MHD).sum(-1, keepdim=True)

    def _shared_scores(self, tower: int, query: Tensor, tokens: Tensor) -> Tensor:
        """As `_scores`, with one query (N, H, D) for all windows of an image."""
        if str(tower) in self.pos_embed:
            return self._constant_scores(tower, query, tokens)
        normal = F.layer_norm(tokens, tokens.shape[-1:], eps=_eps(self.k_proj[tower]))
        query_NHV = (query.transpose(0, 1) @ _map(self.k_proj[tower])).transpose(0, 1)
        score_NIH = normal.reshape(len(query), -1, normal.shape[-1]) @ query_NHV.transpose(1, 2)
        score_NIH = score_NIH + (query * _shift(self.k_proj[tower])).sum(-1)[:, None]
        return score_NIH.reshape(len(tokens), NUM_HEADS, 1)

    def _constant_scores(self, tower: int, query: Tensor, tokens: Tensor) -> Tensor:
        """(M, H, K): what does not depend on the token, of queries (M or N, H, D)."""
        constant = (query * _shift(self.k_proj[tower])).sum(-1, keepdim=True)
        constant = constant.repeat_interleave(len(tokens) // len(query), dim=0)
        return constant.expand(-1, -1, tokens.shape[1])

    def _values(self, tower: int, attention: Tensor, tokens: Tensor) -> Tensor:
        """(M, H, D): weighted by attention (M, H, K), the one value or what is constant."""
        if str(tower) in self.pos_embed:
            return attention.sum(-1, keepdim=True) * _shift(self.v_proj[tower])
        return attention * _split_heads(self.v_proj[tower](tokens))[:, 0]

    def _window_tokens(self, tower: int, tokens: Tensor) -> WindowTokens:
        keys, values = self.k_proj[tower], self.v_proj[tower]
        position, eps = self.pos_embed[str(tower)].to(tokens), _eps(keys)
        return WindowTokens(tokens, position, _map(keys).to(tokens), _map(values).to(tokens), eps)


def _normed_linear(dim: int) -> nn.Sequential:
    return nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, dim, bias=False))


def _split_heads(x: Tensor) -> Tensor:
    return x.reshape(*x.shape[:-1], NUM_HEADS, -1)


def _map(project: nn.Module) -> Tensor:
    """(H, D, V): what a normed map does after a parameter-free normalisation, but for `_shift`."""
    norm, linear = cast(tuple[nn.LayerNorm, nn.Linear], project)
    weight_DV = linear.weight * norm.weight
    return weight_DV.reshape(NUM_HEADS, -1, weight_DV.shape[1])


def _shift(project: nn.Module) -> Tensor:
    """(H, D): what it adds."""
    norm, linear = cast(tuple[nn.LayerNorm, nn.Linear], project)
    return F.linear(norm.bias, linear.weight).reshape(NUM_HEADS, -1)


def _eps(project: nn.Module) -> float:
    norm, _ = cast(tuple[nn.LayerNorm, nn.Linear], project)
    return norm.eps
