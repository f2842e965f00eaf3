import copy

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from models import window_attention as functions
from models.sva import SamplerLayer
from models.window_attention import WindowTokens, window_attention
from models.windows import Windows, make_windows

SIZES = [(100, 70), (30, 31), (20, 90)]


def direct(layer: SamplerLayer, query: Tensor, windows: Windows) -> Tensor:
    """Section 6 as published: every key and value projected, one attention for each query."""
    context = windows.context[windows.image_index][:, None]
    inner = layer.proj_in(torch.cat([query[:, None], layer.proj_context(context)], dim=-1))
    placed = [
        tokens + layer.pos_embed[str(t)] if str(t) in layer.pos_embed else tokens
        for t, tokens in enumerate(windows.keys)
    ]
    keys = torch.cat([layer.k_proj[t](tokens) for t, tokens in enumerate(placed)], dim=1)
    values = torch.cat([layer.v_proj[t](tokens) for t, tokens in enumerate(placed)], dim=1)
    attended = F.scaled_dot_product_attention(
        *(x.unflatten(-1, (16, -1)).transpose(1, 2) for x in (layer.q_proj(inner), keys, values)),
        attn_mask=torch.cat(windows.masks, dim=1)[:, None, None],
    )
    inner = inner + layer.o_proj(attended.transpose(1, 2).flatten(2))
    return query + layer.proj_out(layer.norm(inner))[:, 0]


def layer_and_inputs(
    window_sides: list[int], query_dim: int = 24, dim: int = 32
) -> tuple[SamplerLayer, list[Tensor], Tensor]:
    layer = SamplerLayer(query_dim, dim, window_sides)
    for module in layer.modules():
        if isinstance(module, torch.nn.Linear):
            torch.nn.init.normal_(module.weight, std=module.in_features**-0.5)
        if isinstance(module, torch.nn.LayerNorm):
            torch.nn.init.normal_(module.weight, mean=1, std=0.3)
            torch.nn.init.normal_(module.bias, std=0.3)
    grids = [torch.randn(3, (3 * side) ** 2, dim, requires_grad=True) for side in window_sides]
    return layer, grids, torch.randn(27, query_dim, requires_grad=True)


def relative_error(found: Tensor, expected: Tensor) -> float:
    exact = expected.detach().double()
    return float((found.detach().double() - exact).norm() / exact.norm())


@pytest.mark.parametrize("window_sides", [[1, 2], [2, 1, 3], [2, 3], [1, 1]])
@pytest.mark.parametrize("shared", [False, True])
def test_outputs_and_all_gradients_are_those_of_the_published_form(
    window_sides: list[int], shared: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(functions, "_CHUNK_QUERIES", 10)  # 27 queries: three chunks
    layer, grids, query = layer_and_inputs(window_sides)
    layer.double()
    grids = [grid.detach().double().requires_grad_() for grid in grids]
    query = query.detach().double()[: 1 if shared else None].requires_grad_()
    leaves = [query, *grids, *layer.parameters()]
    windows = make_windows(grids, SIZES, 3)
    cotangent = torch.randn(27, 24, dtype=torch.double)
    found = layer(query, windows, shared=shared)
    expected = direct(layer, query.expand(27, -1), windows)
    torch.testing.assert_close(found, expected, atol=1e-10, rtol=1e-10)
    names = ["query", *map(str, range(len(grids))), *(n for n, _ in layer.named_parameters())]
    gradients = torch.autograd.grad(found, leaves, cotangent, retain_graph=True)
    for name, one, other in zip(
        names, gradients, torch.autograd.grad(expected, leaves, cotangent), strict=True
    ):
        torch.testing.assert_close(one, other, atol=1e-10, rtol=1e-10, msg=name)


def attention_inputs(num_queries: int) -> list[Tensor]:
    """Queries, known scores, and tokens, position and maps of two towers; six windows."""
    shapes = [(num_queries, 2, 4), (6, 2, 1 + 5 + 3)]
    for num_keys in (5, 3):
        shapes += [(6, num_keys, 6), (num_keys, 6), (2, 4, 6), (2, 4, 6)]
    draw = torch.Generator().manual_seed(0)
    double = torch.double
    return [torch.randn(*s, generator=draw, dtype=double, requires_grad=True) for s in shapes]


def towers_of(parts: tuple[Tensor, ...]) -> list[WindowTokens]:
    return [WindowTokens(*parts[:4], 1e-5), WindowTokens(*parts[4:], 1e-5)]


@pytest.mark.parametrize("num_queries", [6, 2])
def test_window_attention_passes_gradcheck(
    num_queries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(functions, "_CHUNK_QUERIES", 2)

    def attend(query: Tensor, known: Tensor, *parts: Tensor) -> tuple[Tensor, Tensor]:
        return window_attention(query, known, towers_of(parts))

    assert torch.autograd.gradcheck(attend, attention_inputs(num_queries))


@pytest.mark.parametrize("num_queries", [6, 2])
def test_unchunked_attention_of_other_devices_is_the_same(
    num_queries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(functions, "_CHUNK_QUERIES", 2)
    query, known, *parts = attention_inputs(num_queries)
    at_once = functions._attend(query, known, towers_of(tuple(parts)))
    chunked = window_attention(query, known, towers_of(tuple(parts)))
    torch.testing.assert_close(at_once, chunked)


def test_bfloat16_is_as_near_to_float32_as_the_published_form() -> None:
    """Norm of the error against float32: at most 1.3 times that of the published form."""
    layer, grids, query = layer_and_inputs([1, 1, 4], query_dim=128, dim=128)
    leaves = [query, *grids, *layer.parameters()]
    cotangent = torch.randn(27, 128)
    exact = direct(layer, query, make_windows(grids, SIZES, 3))
    exact_grads = torch.autograd.grad(exact, leaves, cotangent)
    low = copy.deepcopy(layer).bfloat16()
    low_grids = [grid.detach().bfloat16().requires_grad_() for grid in grids]
    low_query = query.detach().bfloat16().requires_grad_()
    low_leaves = [low_query, *low_grids, *low.parameters()]
    errors = {}
    for name, form in (("ours", SamplerLayer.__call__), ("direct", direct)):
        output = form(low, low_query, make_windows(low_grids, SIZES, 3))
        found = torch.autograd.grad(output, low_leaves, cotangent.bfloat16())
        errors[name] = [relative_error(output, exact)] + [
            relative_error(*pair) for pair in zip(found, exact_grads, strict=True)
        ]
    assert errors["ours"][0] < 0.01
    for ours, published in zip(errors["ours"], errors["direct"], strict=True):
        assert ours <= 1.3 * published + 1e-3, (ours, published)


def test_autocast_gives_the_same_to_its_precision() -> None:
    layer, grids, query = layer_and_inputs([1, 2])
    windows = make_windows(grids, SIZES, 3)
    exact = layer(query, windows)
    with torch.autocast("cpu", torch.bfloat16):
        low = layer(query, windows)
    low.float().sum().backward()
    assert relative_error(low, exact) < 0.01
    assert all(parameter.grad is not None for parameter in layer.parameters())
