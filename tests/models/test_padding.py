import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.padding import kept_grid, padding_border

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


@given(SIZES, SIDES)
def test_a_square_image_fills_the_grid(size: int, side: int) -> None:
    assert tuple(kept_grid(size, size, side)) == (side, side)


@pytest.mark.parametrize(
    ("width", "height", "side", "rows", "columns"),
    [
        (640, 480, 24, 18, 24),  # n = 18, p = 3
        (480, 640, 24, 24, 18),
        (500, 375, 24, 18, 24),
        (1000, 700, 24, 16, 24),  # n = 16, p = 4
        (1000, 710, 24, 18, 24),  # n = 17 is odd against 24: one row of padding stays
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
