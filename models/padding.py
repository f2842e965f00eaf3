"""How much of a square token grid an image covers: behind every mask and token count.

An image is padded to a square before a tower sees it. On a grid of side s the padding shows as p
rows at the top and bottom (wide image) or p columns left and right (tall image).

Source: cambrian-mllm/cambrian@539ffc3, ``unpad_image`` and ``unmask_attention_mask``. The order of
the floating-point operations is part of the definition, so it is kept exactly.
"""

from typing import NamedTuple


class Border(NamedTuple):
    """Padding on each of two opposite sides of a grid; at most one of the two is not zero.

    Attributes:
        rows: Rows of padding at the top, and as many at the bottom.
        columns: Columns of padding at the left, and as many at the right.
    """

    rows: int
    columns: int


class GridSize(NamedTuple):
    """Rows and columns of a grid that are left when the padding is cut off."""

    rows: int
    columns: int

    @property
    def num_tokens(self) -> int:
        """Tokens in the sequence: every row is followed by one newline token."""
        return self.rows * (self.columns + 1)


def padding_border(width: int, height: int, side: int) -> Border:
    """Padding of an image on a square grid.

    Both sides lose the same p = (side - n) // 2, so an odd rest stays inside the kept part. The
    result is computed anew for each grid: borders of two grids need not line up.

    Args:
        width: Original image width in pixels, >= 1.
        height: Original image height in pixels, >= 1.
        side: Side s of the grid in tokens, >= 1.

    Returns:
        Rows and columns of padding per side.

    Raises:
        ValueError: A size is not positive.
    """
    if width < 1 or height < 1 or side < 1:
        raise ValueError(
            f"image of {width}x{height} pixels on a grid of side {side}: all must be at least 1"
        )
    if width / height > 1:
        scale = side / width
        covered = int(height * scale)
        return Border(rows=(side - covered) // 2, columns=0)
    scale = side / height
    covered = int(width * scale)
    return Border(rows=0, columns=(side - covered) // 2)


def kept_grid(width: int, height: int, side: int) -> GridSize:
    """Rows and columns of a square grid that an image covers.

    Args:
        width: Original image width in pixels, >= 1.
        height: Original image height in pixels, >= 1.
        side: Side s of the grid in tokens, >= 1.

    Returns:
        The kept rows and columns; one of them is 0 when the aspect ratio exceeds an even ``side``.
    """
    border = padding_border(width, height, side)
    return GridSize(rows=side - 2 * border.rows, columns=side - 2 * border.columns)
