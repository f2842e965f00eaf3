import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from models.connector import Connector
from models.padding import padding_border
from models.sva import SamplerLayer
from models.windows import Windows, cut_windows, grid_mask, make_windows


@pytest.mark.parametrize(("side", "query_side"), [(4, 4), (8, 4), (6, 2)])
def test_windows_are_those_of_the_naive_loops(side: int, query_side: int) -> None:
    grid = torch.randn(3, side, side, 5)
    window = side // query_side
    windows = cut_windows(grid, query_side)
    assert windows.shape == (3 * query_side**2, window**2, 5)
    for b in range(3):
        for r in range(query_side):
            for c in range(query_side):
                for i in range(window):
                    for j in range(window):
                        found = windows[b * query_side**2 + r * query_side + c, i * window + j]
                        assert torch.equal(found, grid[b, r * window + i, c * window + j])


@given(st.lists(st.tuples(st.integers(1, 300), st.integers(1, 300)), min_size=1, max_size=3))
def test_grid_mask_is_false_on_padding_only(sizes: list[tuple[int, int]]) -> None:
    mask = grid_mask(sizes, 8)
    for n, (width, height) in enumerate(sizes):
        border = padding_border(width, height, 8)
        for row in range(8):
            for column in range(8):
                inside_rows = border.rows <= row < 8 - border.rows
                inside_columns = border.columns <= column < 8 - border.columns
                assert mask[n, row, column] == (inside_rows and inside_columns)


def test_a_window_of_nothing_but_padding_is_attended_as_a_whole_per_tower() -> None:
    # 100x50: a 4-grid loses its first and last row, an 8-grid its first and last two.
    projected = [torch.randn(1, 16, 16), torch.randn(1, 64, 16)]
    windows = make_windows(projected, [(100, 50)], 4)
    assert windows.masks[0].all()
    assert windows.masks[1].all()
    # 100x80: the 4-grid loses nothing, the 8-grid one row at each end: half of a border window.
    windows = make_windows(projected, [(100, 80)], 4)
    assert windows.masks[0].all()
    assert windows.masks[1][:4].tolist() == [[False, False, True, True]] * 4
    assert windows.masks[1][4:12].all()
    assert windows.masks[1][12:].tolist() == [[True, True, False, False]] * 4


def naive_layer(layer: SamplerLayer, query: Tensor, windows: Windows) -> Tensor:
    """Section 6, query by query and head by head, in double precision."""
    p = {name: value.double() for name, value in layer.state_dict().items()}

    def norm(x: Tensor, name: str) -> Tensor:
        mean, variance = x.mean(), x.var(unbiased=False)
        return (x - mean) / torch.sqrt(variance + 1e-5) * p[f"{name}.weight"] + p[f"{name}.bias"]

    rows = []
    for m in range(len(query)):
        x, g = query[m].double(), windows.context[windows.image_index[m]].double()
        u = p["proj_in.weight"] @ torch.cat([x, p["proj_context.weight"] @ g])
        q = p["q_proj.1.weight"] @ norm(u, "q_proj.0")
        keys, values, allowed = [], [], []
        for t in range(len(windows.keys)):
            for i in range(windows.keys[t].shape[1]):
                z = windows.keys[t][m, i].double()
                if f"pos_embed.{t}" in p:
                    z = z + p[f"pos_embed.{t}"][i]
                keys.append(p[f"k_proj.{t}.1.weight"] @ norm(z, f"k_proj.{t}.0"))
                values.append(p[f"v_proj.{t}.1.weight"] @ norm(z, f"v_proj.{t}.0"))
                allowed.append(bool(windows.masks[t][m, i]))
        size = len(q) // 16
        heads = []
        for h in range(16):
            part = slice(h * size, (h + 1) * size)
            scores = [
                math.exp(float(q[part] @ key[part]) / math.sqrt(size)) if ok else 0.0
                for key, ok in zip(keys, allowed, strict=True)
            ]
            mixed = [s * value[part] for s, value in zip(scores, values, strict=True)]
            heads.append(sum(mixed, torch.zeros(size).double()) / sum(scores))
        inner = norm(u + p["o_proj.weight"] @ torch.cat(heads), "norm")
        rows.append(x + p["proj_out.2.weight"] @ F.gelu(p["proj_out.0.weight"] @ inner))
    return torch.stack(rows)


@pytest.mark.parametrize("query_dim", [32, 24])
def test_a_sampler_layer_is_the_published_equations(query_dim: int) -> None:
    layer = SamplerLayer(query_dim, 32, [1, 2])
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    projected = [torch.randn(2, 9, 32), torch.randn(2, 36, 32)]
    windows = make_windows(projected, [(100, 70), (30, 31)], 3)
    assert not all(mask.all() for mask in windows.masks)
    query = torch.randn(18, query_dim)
    torch.testing.assert_close(
        layer(query, windows).double(), naive_layer(layer, query, windows), atol=2e-5, rtol=1e-5
    )


def test_with_equal_grids_a_padded_border_reaches_the_image_through_the_global_context_only() -> (
    None
):
    """Cambrian.md section 13: with Q = S only context and fully padded windows see the border."""
    connector = Connector(16, [4], [4, 8], depth=2, image_side=4)
    projected = [torch.randn(1, 16, 16), torch.randn(1, 64, 16)]
    query = torch.randn(1, 16)
    wide = [(100, 50)]
    before = connector(query, [make_windows(projected, wide, 4)])
    projected[1][:, :16] += torch.randn(16)  # the two padded rows of the 8-grid
    after = connector(query, [make_windows(projected, wide, 4)])
    kept = slice(4, 12)
    assert torch.equal(before[:, kept], after[:, kept])
    assert not torch.allclose(before[:, :4], after[:, :4])
    projected[0][:, :4] += torch.randn(
        16
    )  # the padded row of tower 0, which the context averages over
    assert not torch.allclose(
        connector(query, [make_windows(projected, wide, 4)])[:, kept], after[:, kept]
    )


def test_query_groups_of_another_side_are_resized_and_concatenated() -> None:
    connector = Connector(16, [2, 4], [4, 8], depth=1, image_side=4)
    projected = [torch.randn(2, 16, 16), torch.randn(2, 64, 16)]
    sizes = [(10, 10), (20, 10)]
    query = torch.randn(2, 16)
    windows = [make_windows(projected, sizes, side) for side in (2, 4)]
    result = connector(query, windows)
    assert result.shape == (2, 16, 32)
    coarse = connector[0][0](query[:1].expand(8, -1), windows[0])
    grid = coarse.reshape(2, 2, 2, 16).permute(0, 3, 1, 2)
    resized = F.interpolate(grid, size=(4, 4), mode="bilinear", align_corners=False)
    torch.testing.assert_close(result[..., :16], resized.flatten(2).transpose(1, 2))
    torch.testing.assert_close(
        result[..., 16:].flatten(0, 1), connector[1][0](query[1:].expand(32, -1), windows[1])
    )
