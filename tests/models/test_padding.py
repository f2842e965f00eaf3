import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from models.padding import kept_grid, padding_border
from models.presets import preset
from models.windows import grid_mask

SIZES = st.integers(1, 4000)
SIDES = st.sampled_from([4, 5, 6, 24, 96])


def unpadded_shape(width: int, height: int, side: int) -> tuple[int, int]:
    """Rows and columns left of a list of lists that is cut as cambrian.md section 3 says."""
    grid = [[0] * side for _ in range(side)]
    if width / height > 1:
        n = int(height * (side / width))
        p = (side - n) // 2
        grid = grid[p : side - p]
    else:
        n = int(width * (side / height))
        p = (side - n) // 2
        grid = [row[p : side - p] for row in grid]
    return len(grid), len(grid[0]) if grid else side


@given(SIZES, SIZES, SIDES)
@example(47, 47, 24)  # n = 23
@example(88, 55, 24)  # n = 14 where exact arithmetic has 15
@example(3000, 100, 24)  # n = 0
def test_kept_grid_is_what_the_published_slicing_leaves(width: int, height: int, side: int) -> None:
    assert tuple(kept_grid(width, height, side)) == unpadded_shape(width, height, side)


@given(SIZES, SIZES, SIDES)
def test_at_most_one_axis_is_padded_and_both_of_its_sides_equally(
    width: int, height: int, side: int
) -> None:
    border = padding_border(width, height, side)
    assert 0 in border
    kept = kept_grid(width, height, side)
    assert kept.rows + 2 * border.rows == side
    assert kept.columns + 2 * border.columns == side


def unmasked(width: int, height: int, side: int) -> list[list[bool]]:
    """The published ``unmask_attention_mask`` on lists: padding rows or columns set to False."""
    mask = [[True] * side for _ in range(side)]
    if width / height > 1:
        n = int(height * (side / width))
        p = (side - n) // 2
        for row in [*range(p), *range(side - p, side)]:
            mask[row] = [False] * side
    else:
        n = int(width * (side / height))
        p = (side - n) // 2
        for cells in mask:
            for column in [*range(p), *range(side - p, side)]:
                cells[column] = False
    return mask


@given(st.lists(st.tuples(SIZES, SIZES), min_size=1, max_size=4), SIDES)
@example([(47, 47), (88, 55), (55, 88), (3000, 100), (100, 3000)], 24)
@example([(352, 55), (88, 55), (200, 200)], 96)
def test_padding_is_masked_on_every_grid_as_published(
    sizes: list[tuple[int, int]], side: int
) -> None:
    mask = grid_mask(sizes, side)
    assert mask.tolist() == [unmasked(*size, side) for size in sizes]
    assert [int(one.sum()) for one in mask] == [
        kept_grid(*size, side).rows * kept_grid(*size, side).columns for size in sizes
    ]


def test_the_grid_sides_above_are_those_of_the_models() -> None:
    config = preset("8b")
    assert {config.image_side, *(spec.grid_side for spec in config.tower_specs)} == {24, 96}


def test_borders_of_two_grids_need_not_line_up() -> None:
    # 100x80: n = 19 of 24 and 76 of 96, so 2.5 rows of padding are cut to 2 and to 10 quarters.
    assert padding_border(100, 80, 24).rows == 2
    assert padding_border(100, 80, 96).rows == 10


@given(SIZES, SIDES)
@example(47, 24)
@example(94, 96)
@example(49, 4)
def test_a_square_image_fills_the_grid_even_where_its_extent_is_rounded_down(
    size: int, side: int
) -> None:
    assert tuple(kept_grid(size, size, side)) == (side, side)


@pytest.mark.parametrize(("size", "side"), [(47, 24), (94, 96), (49, 4)])
def test_that_rounding_is_real(size: int, side: int) -> None:
    assert int(size * (side / size)) == side - 1


@given(st.integers(1, 400), st.sampled_from([4, 6, 24, 96]))
def test_an_aspect_ratio_above_an_even_side_leaves_nothing(short: int, side: int) -> None:
    long = short * side + 1
    assert kept_grid(long, short, side) == (0, side)
    assert kept_grid(short, long, side) == (side, 0)
    assert padding_border(long, short, side).rows == side // 2


@pytest.mark.parametrize(
    ("width", "height", "side", "rows", "columns"),
    [
        (640, 480, 24, 18, 24),  # n = 18, p = 3
        (480, 640, 24, 24, 18),
        (500, 375, 24, 18, 24),
        (1000, 700, 24, 16, 24),  # n = 16, p = 4
        (1000, 710, 24, 18, 24),  # n = 17 is odd against 24: one row of padding stays
        (88, 55, 24, 14, 24),  # n = 14 by rounding; exact arithmetic, n = 15, would keep 16
        (3000, 100, 24, 0, 24),  # an aspect ratio above the side leaves nothing
        (700, 1000, 5, 5, 3),  # n = 3, p = 1
    ],
)
def test_hand_computed_cases(width: int, height: int, side: int, rows: int, columns: int) -> None:
    kept = kept_grid(width, height, side)
    assert tuple(kept) == (rows, columns)
    assert kept.num_tokens == rows * (columns + 1)


def test_a_size_of_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="0x10"):
        padding_border(0, 10, 24)
