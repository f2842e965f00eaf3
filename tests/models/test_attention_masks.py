from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.attention_blocks import plan_blocks
from models.attention_masks import decoder_mask
from models.modeling import PMCCambrian
from models.segments import PADDING, PREFIX, Segments

# A row: segments of a prefix length and branch lengths; then padding.
SEGMENTS = st.lists(
    st.tuples(st.integers(1, 3), st.lists(st.integers(1, 3), max_size=3)), min_size=1, max_size=3
)


def build(row: list[tuple[int, list[int]]], padding: int, masked: set[int]) -> Segments:
    segment_ids, branch_ids = [], []
    for number, (prefix, branches) in enumerate(row):
        for branch, length in enumerate([prefix, *branches]):
            segment_ids += [number] * length
            branch_ids += [branch] * length
    attended = [i not in masked for i in range(len(segment_ids))] + [False] * padding
    return Segments(
        torch.tensor([segment_ids + [PADDING] * padding]),
        torch.tensor([branch_ids + [PREFIX] * padding]),
        torch.tensor([attended]),
    )


@given(SEGMENTS, st.integers(0, 2), st.sets(st.integers(0, 20)), st.integers(1, 5) | st.none())
def test_the_rule_is_the_naive_one(
    row: list[tuple[int, list[int]]], padding: int, masked: set[int], window: int | None
) -> None:
    segments = build(row, padding, masked)
    positions = segments.position_ids()
    config = SimpleNamespace(_attn_implementation="sdpa", sliding_window=window)
    mask = decoder_mask(segments, positions, config, torch.float32)[0, 0]
    segment, branch = segments.segment_ids[0].tolist(), segments.branch_ids[0].tolist()
    counts = segments.attended[0].tolist()
    for i in range(len(segment)):
        before = [
            j
            for j in range(i)
            if counts[j] and segment[j] == segment[i] and branch[j] in (PREFIX, branch[i])
        ]
        if counts[i]:
            assert positions[0, i] == len(before)
        for j in range(len(segment)):
            near = window is None or positions[0, i] - positions[0, j] < window
            assert mask[i, j] == (i == j or (j in before and bool(near)))


@given(SEGMENTS, st.integers(0, 2), st.sets(st.integers(0, 20)), st.integers(1, 5) | st.none())
def test_blocks_hold_every_pair_that_the_mask_allows(
    row: list[tuple[int, list[int]]], padding: int, masked: set[int], window: int | None
) -> None:
    one = build(row, padding, masked)
    both = Segments(*(torch.cat([x, x]) for x in (one.segment_ids, one.branch_ids, one.attended)))
    positions, length = both.position_ids(), one.attended.shape[1]
    config = SimpleNamespace(_attn_implementation="sdpa", sliding_window=window)
    whole = decoder_mask(both, positions, config, torch.float32)[:, 0]
    blocks = plan_blocks(both)
    mask = decoder_mask(both, positions, config, torch.float32, blocks)[:, 0]
    rebuilt = torch.zeros(2 * length, 2 * length, dtype=torch.bool)
    for n, queries in enumerate(blocks.queries.tolist()):
        for q, query in enumerate(queries):
            for k in mask[n, q].nonzero()[:, 0].tolist():
                rebuilt[query, blocks.keys[n, k]] = True
    expected = torch.block_diag(whole[0], whole[1]).bool()
    expected[both.segment_ids.flatten() == PADDING] = False
    assert torch.equal(rebuilt, expected)
    assert sorted(blocks.places.tolist()) == expected.any(1).nonzero()[:, 0].tolist()


def test_every_form_says_the_same() -> None:
    from torch.nn.attention.flex_attention import create_mask

    segments = build([(2, [1, 3]), (3, [])], 2, {1})
    positions = segments.position_ids()
    masks = {
        name: decoder_mask(
            segments,
            positions,
            SimpleNamespace(_attn_implementation=name, sliding_window=3),
            torch.float32,
        )
        for name in ("sdpa", "eager", "flex_attention")
    }
    blocks = masks["flex_attention"]
    assert blocks.shape == (1, 1, 11, 11)
    assert torch.equal(create_mask(blocks.mask_mod, 1, 1, 11, 11, "cpu"), masks["sdpa"])
    assert torch.equal(masks["eager"] == 0, masks["sdpa"])


def test_kinds_of_layers_get_their_own_mask(small_model: Callable[..., PMCCambrian]) -> None:
    segments = build([(6, [])], 0, set())
    sliding = {"use_sliding_window": True, "sliding_window": 2, "max_window_layers": 2}
    config = small_model(text={"model_type": "qwen2", **sliding}).config.text_config
    masks = decoder_mask(segments, segments.position_ids(), config, torch.float32)
    assert masks["full_attention"].sum() == 21
    assert masks["sliding_attention"].sum() == 11


def test_an_attention_without_masks_is_refused() -> None:
    segments = build([(6, [])], 0, set())
    config: Any = SimpleNamespace(_attn_implementation="flash_attention_2")
    with pytest.raises(ValueError, match="'flash_attention_2' takes no mask of packed rows"):
        decoder_mask(segments, segments.position_ids(), config, torch.float32)


@pytest.mark.gpu
@pytest.mark.filterwarnings("ignore::UserWarning")  # PyTorch's compiler looks at every .grad.
def test_flex_attention_trains_as_sdpa_does(small_model: Callable[..., PMCCambrian]) -> None:
    """Head size 16, the least FlexAttention takes; rows longer than one block of 128."""
    text = {"hidden_size": 64, "num_hidden_layers": 2}
    ids = torch.arange(40).repeat(2, 6).cuda()
    segment_ids = torch.arange(240).div(60, rounding_mode="floor").repeat(2, 1).cuda()
    branch_ids = (torch.arange(240) % 60).div(20, rounding_mode="floor").repeat(2, 1).cuda()
    results = []
    for name in ("sdpa", "flex_attention"):
        model: Any = small_model(text=text).train()
        model.set_attn_implementation(name)
        model.cuda()
        output = model(
            ids, labels=ids, segment_ids=segment_ids, branch_ids=branch_ids, row_length=256
        )
        output.loss.backward()
        weight = model.language_model.model.layers[0].self_attn.q_proj.weight
        results.append((output.loss.detach(), weight.grad))
    torch.testing.assert_close(results[0], results[1], rtol=2e-3, atol=1e-5)
