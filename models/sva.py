"""Spatial Vision Aggregator (SVA): one layer of attention from queries to their windows.

Legend: N images, T towers, V vision width, r_t window side of tower t, M queries (over all images),
q width of the queries, H heads, D = V / H, K keys of one tower in a window (r_t²).

A layer costs what its key and value maps cost: at 8B sizes 46 GFLOP an image if they are applied to
every token of every window, against 0.05 for the attention itself. Where a window holds several
tokens, the maps are therefore applied to the one query instead. With n = (z' - mean) / deviation,
LN(z') = gamma·n + beta, w the attention and h a head:

- score: q_h · W_k,h (gamma·n + beta) = (q_h W_k,h gamma) · n + q_h · W_k,h beta. The second term is
  equal for all keys of a tower, yet not for all keys of the joint softmax.
- value: sum_k w_k W_v,h (gamma·n_k + beta) = W_v,h gamma (sum_k w_k n_k) + W_v,h beta sum_k w_k

so n is shared by keys and values, and each map runs once a query and not r² times: 10 GFLOP in all.
The parameters and, up to rounding, the result are those of the published form.

Source: cambrian.md section 6.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .configuration import NUM_HEADS
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

    def forward(self, query: Tensor, windows: Windows) -> Tensor:
        """Updates queries from their windows.

        Args:
            query: (M, q).
            windows: What the M queries may look at.

        Returns:
            (M, q).
        """
        inner = self._with_context(query, windows)
        attended = self._attend(self.q_proj(inner), windows)
        update: Tensor = self.proj_out(self.norm(inner + self.o_proj(attended)))
        return query + update

    def _with_context(self, query: Tensor, windows: Windows) -> Tensor:
        """(M, V): `proj_in` of query and context, whose share is computed once an image."""
        query_map, context_map = self.proj_in.weight.split(
            [query.shape[-1], windows.context.shape[-1]], dim=1
        )
        context = F.linear(self.proj_context(windows.context), context_map)
        return F.linear(query, query_map) + context.index_select(0, windows.image_index)

    def _attend(self, query: Tensor, windows: Windows) -> Tensor:
        """(M, V): one softmax over the keys of all towers."""
        query_MHD = _split_heads(query) * (query.shape[-1] // NUM_HEADS) ** -0.5
        tokens = [
            _normalise(keys + self.pos_embed[str(t)], self.k_proj[t][0].eps)
            if self._absorbs(t)
            else keys
            for t, keys in enumerate(windows.keys)
        ]
        scores = [
            (_absorbed_scores if self._absorbs(t) else _scores)(query_MHD, keys, self.k_proj[t])
            for t, keys in enumerate(tokens)
        ]
        mask_MK = torch.cat(windows.masks, dim=1)
        weight_MHK = (
            torch.cat(scores, dim=2).masked_fill(~mask_MK[:, None], -torch.inf).softmax(dim=2)
        )
        parts = weight_MHK.to(query.dtype).split([keys.shape[1] for keys in tokens], dim=2)
        mixed = [
            (_absorbed_values if self._absorbs(t) else _values)(weight, keys, self.v_proj[t])
            for t, (weight, keys) in enumerate(zip(parts, tokens, strict=True))
        ]
        return torch.stack(mixed).sum(0).flatten(1)

    def _absorbs(self, tower: int) -> bool:
        return str(tower) in self.pos_embed


def _normed_linear(dim: int) -> nn.Sequential:
    return nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, dim, bias=False))


def _split_heads(x: Tensor) -> Tensor:
    return x.unflatten(-1, (NUM_HEADS, -1))


def _normalise(x: Tensor, eps: float) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], eps=eps)


def _scores(query_MHD: Tensor, tokens: Tensor, project: nn.Module) -> Tensor:
    key_MKHD = _split_heads(project(tokens))
    return (query_MHD[:, None] * key_MKHD).sum(-1).transpose(1, 2)


def _values(weight_MHK: Tensor, tokens: Tensor, project: nn.Module) -> Tensor:
    value_MKHD = _split_heads(project(tokens))
    return (weight_MHK.transpose(1, 2)[..., None] * value_MKHD).sum(1)


def _folded(project: nn.Sequential) -> tuple[Tensor, Tensor]:
    norm, linear = project
    map_HDV = (linear.weight * norm.weight).unflatten(0, (NUM_HEADS, -1))
    return map_HDV, F.linear(norm.bias, linear.weight).unflatten(0, (NUM_HEADS, -1))


def _absorbed_scores(query_MHD: Tensor, normal_MKV: Tensor, project: nn.Sequential) -> Tensor:
    map_HDV, shift_HD = _folded(project)
    query_HMV = query_MHD.transpose(0, 1) @ map_HDV
    shift_MH1 = (query_MHD * shift_HD).sum(-1, keepdim=True)
    return query_HMV.transpose(0, 1) @ normal_MKV.transpose(1, 2) + shift_MH1


def _absorbed_values(weight_MHK: Tensor, normal_MKV: Tensor, project: nn.Sequential) -> Tensor:
    map_HDV, shift_HD = _folded(project)
    mixed_MHV = weight_MHK @ normal_MKV
    value_HMD = mixed_MHV.transpose(0, 1) @ map_HDV.transpose(1, 2)
    return value_HMD.transpose(0, 1) + weight_MHK.sum(-1, keepdim=True) * shift_HD
