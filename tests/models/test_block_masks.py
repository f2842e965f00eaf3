"""Visited blocks against the whole mask."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.block_masks import flex_block_mask, visited_blocks
from models.segments import PADDING, Segments

Row = list[tuple[int, list[int], int]]
"""Segments: length of the prefix, of each branch, and how many tokens at its end do not count."""

ROWS = st.lists(
    st.tuples(st.integers(1, 300), st.lists(st.integers(1, 150), max_size=4), st.integers(0, 40)),
    min_size=1,
    max_size=4,
)


def made(row: Row, padding: int) -> Segments:
    segment_ids: list[int] = []
    branch_ids: list[int] = []
    attended: list[bool] = []
    for number, (prefix, branches, ignored) in enumerate(row):
        for branch, length in enumerate([prefix, *branches]):
            segment_ids += [number] * length
            branch_ids += [branch] * length
            attended += [True] * length
        attended[len(attended) - min(ignored, len(attended)) :] = [False] * min(
            ignored, len(attended)
        )
    segment_ids += [PADDING] * padding
    branch_ids += [0] * padding
    attended += [False] * padding
    return Segments(
        torch.tensor([segment_ids]), torch.tensor([branch_ids]), torch.tensor([attended])
    )


def whole_mask(segments: Segments) -> torch.Tensor:
    length = segments.segment_ids.shape[1]
    index = torch.arange(length)
    row = torch.zeros((), dtype=torch.int64)
    sees = segments.sight(segments.position_ids(), None)
    return sees(row, row, index[:, None], index[None])


def blocks_of(mask: torch.Tensor, value: bool) -> torch.Tensor:
    """(U, U, 128, 128), what a shorter last block lacks filled up."""
    missing = -len(mask) % 128
    filled = torch.nn.functional.pad(mask, (0, missing, 0, missing), value=value)
    return filled.unflatten(1, (-1, 128)).unflatten(0, (-1, 128)).transpose(1, 2)


@given(row=ROWS, padding=st.integers(0, 200))
def test_no_allowed_pair_is_left_out_and_no_forbidden_one_let_in(row: Row, padding: int) -> None:
    segments = made(row, padding)
    touched, whole = visited_blocks(segments)
    mask = whole_mask(segments)
    assert not (blocks_of(mask, False).any(3).any(2) & ~touched[0]).any()
    assert not (whole[0] & ~blocks_of(mask, True).all(3).all(2)).any()
    assert not (whole & ~touched).any()


def test_segments_of_whole_blocks_visit_these_only() -> None:
    touched, whole = visited_blocks(made([(256, [], 0), (384, [], 0)], 128))
    own = torch.block_diag(torch.ones(2, 2), torch.ones(3, 3), torch.ones(1, 1)).tril().bool()
    assert torch.equal(touched[0], own)
    assert torch.equal(whole[0], own & ~torch.eye(6, dtype=torch.bool))


def test_sliding_attention_asks_about_every_pair() -> None:
    segments = made([(512, [], 0)], 0)
    mask = flex_block_mask(segments, segments.position_ids(), 64)
    assert int(mask.full_kv_num_blocks.sum()) == 0
    assert int(mask.kv_num_blocks.sum()) == 10


@pytest.mark.parametrize("padding", [0, 5])
def test_the_block_mask_says_what_was_found(padding: int) -> None:
    segments = made([(300, [50, 70], 9), (200, [], 0)], padding)
    touched, whole = visited_blocks(segments)
    mask = flex_block_mask(segments, segments.position_ids(), None)
    assert torch.equal(mask.to_dense()[:, 0].bool(), touched)
    assert int(mask.full_kv_num_blocks.sum()) == int(whole.sum()) > 0
    assert mask.seq_lengths == (620 + padding,) * 2
