from typing import Literal

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.fusion import ImageLayout, plan_layout
from models.layout import Layout
from models.padding import kept_grid, padding_border

IMAGE = -200
SIDE = 4
LAYOUTS: tuple[ImageLayout, ...] = ("unpadded", "fixed")


def plan(
    rows: list[list[int]],
    sizes: list[tuple[int, int]],
    mask: list[list[bool]] | None = None,
    padding_side: Literal["left", "right"] = "right",
) -> Layout:
    return plan_layout(
        torch.tensor(rows),
        None if mask is None else torch.tensor(mask),
        sizes,
        image_side=SIDE,
        image_token_id=IMAGE,
        padding_side=padding_side,
    )


ROWS = st.lists(
    st.lists(st.one_of(st.integers(0, 9), st.just(IMAGE)), min_size=5, max_size=5),
    min_size=1,
    max_size=3,
)


@given(ROWS, st.data())
def test_expansion_is_the_naive_one(rows: list[list[int]], data: st.DataObject) -> None:
    num_images = sum(row.count(IMAGE) for row in rows)
    size = st.tuples(st.integers(30, 100), st.integers(30, 100))
    sizes = data.draw(st.lists(size, min_size=num_images, max_size=num_images))
    layout = plan(rows, sizes)
    text = torch.tensor(rows).float()[..., None]
    cells = 1000.0 + torch.arange(num_images * SIDE**2).float().reshape(num_images, SIDE**2, 1)
    embedded = layout.embed(text, cells, newline=torch.tensor([-1.0]))[..., 0]
    labels = layout.expand_labels(torch.tensor(rows), ignore_index=-100)

    image = 0
    for i, row in enumerate(rows):
        expected, trained = [], []
        for token in row:
            if token != IMAGE:
                expected.append(float(token))
                trained.append(token)
                continue
            border, kept = padding_border(*sizes[image], SIDE), kept_grid(*sizes[image], SIDE)
            for r in range(border.rows, border.rows + kept.rows):
                for c in range(border.columns, border.columns + kept.columns):
                    expected.append(1000.0 + image * SIDE**2 + r * SIDE + c)
                expected.append(-1.0)
            trained.extend([-100] * kept.num_tokens)
            image += 1
        length = len(expected)
        assert embedded[i, :length].tolist() == expected
        assert labels[i, :length].tolist() == trained
        assert layout.attention_mask[i].tolist() == [True] * length + [False] * (
            embedded.shape[1] - length
        )
        assert not embedded[i, length:].any()
        assert (labels[i, length:] == -100).all()
    flat = embedded.flatten()[layout.positions]
    assert flat.tolist() == (1000.0 + layout.cells).tolist()


def test_masked_tokens_are_dropped_wherever_they_stand() -> None:
    layout = plan([[7, 1, IMAGE, 7], [2, 7, 7, 7]], [(9, 9)], [[0, 1, 1, 0], [1, 0, 0, 0]])
    text = torch.tensor([[7, 1, 0, 7], [2, 7, 7, 7]]).float()[..., None]
    embedded = layout.embed(text, torch.zeros(1, 16, 1), torch.zeros(1))[..., 0]
    assert layout.attention_mask.sum(dim=1).tolist() == [1 + 20, 1]
    assert embedded[0, 0] == 1
    assert embedded[1, 0] == 2
    assert 7 not in embedded


def test_left_padding_moves_rows_to_the_right_end() -> None:
    right, left = (plan([[1, IMAGE], [2, 3]], [(4, 2)], None, side) for side in ("right", "left"))
    assert left.attention_mask[1].tolist() == right.attention_mask[1].flip(0).tolist()
    assert torch.equal(left.source[1, -2:], right.source[1, :2])
    assert torch.equal(left.cells, right.cells)


@pytest.mark.parametrize("num_images", [0, 1, 3])
def test_placeholders_and_images_must_agree_in_number(num_images: int) -> None:
    with pytest.raises(ValueError, match=f"2 image placeholders in the batch but {num_images} im"):
        plan([[1, IMAGE], [IMAGE, 2]], [(5, 5)] * num_images)


def test_an_image_without_a_single_cell_is_refused() -> None:
    with pytest.raises(ValueError, match="image 1 of 900x10 pixels covers no cell"):
        plan([[IMAGE, IMAGE]], [(5, 5), (900, 10)])


@given(st.lists(st.tuples(st.integers(30, 100), st.integers(30, 100)), min_size=1, max_size=3))
def test_the_fixed_layout_holds_the_unpadded_one_and_masks_the_rest(
    sizes: list[tuple[int, int]],
) -> None:
    row = [7, *[token for _ in sizes for token in (IMAGE, 8)]]
    unpadded, fixed = (
        plan_layout(
            torch.tensor([row]),
            None,
            sizes,
            image_side=SIDE,
            image_token_id=IMAGE,
            image_layout=name,
        )
        for name in LAYOUTS
    )
    assert fixed.source.shape[1] == len(row) + len(sizes) * (SIDE * (SIDE + 1) - 1)
    assert torch.equal(fixed.source[fixed.attention_mask], unpadded.source[0])
    assert len(fixed.cells) == len(sizes) * SIDE**2
    origins = fixed.expand_ids(torch.arange(len(row))[None], padding=-1)[fixed.attention_mask]
    assert torch.equal(origins, unpadded.origin[0])


def test_the_newline_of_a_row_counts_unless_the_row_is_padding() -> None:
    wide, tall = (
        plan_layout(
            torch.tensor([[IMAGE]]),
            None,
            [size],
            image_side=SIDE,
            image_token_id=IMAGE,
            image_layout="fixed",
        ).attention_mask.reshape(SIDE, SIDE + 1)
        for size in ((100, 50), (50, 100))
    )
    assert wide[:, -1].tolist() == [False, True, True, False]
    assert wide[:, 0].tolist() == [False, True, True, False]
    assert tall[:, -1].all()
    assert tall[0].tolist() == [False, True, True, False, True]


def test_rows_are_filled_up_to_a_length_or_refused() -> None:
    for length in (22, 30):
        layout = plan_layout(
            torch.tensor([[1, IMAGE, 2]]),
            None,
            [(5, 5)],
            image_side=SIDE,
            image_token_id=IMAGE,
            row_length=length,
        )
        assert layout.source.shape == (1, length)
        assert layout.attention_mask.sum() == 22
    with pytest.raises(ValueError, match=r"a row of 22 tokens .* in rows of 21"):
        plan_layout(
            torch.tensor([[1, IMAGE, 2]]),
            None,
            [(5, 5)],
            image_side=SIDE,
            image_token_id=IMAGE,
            row_length=21,
        )
