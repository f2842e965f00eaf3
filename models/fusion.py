"""Image tokens into the text: fusion replaces each placeholder by the tokens of its image.

- Unpadded layout: an image is its kept rows, left to right, top to bottom, each row followed by
  one newline token.
- Fixed layout: an image is all S rows of its grid, S·(S+1) tokens whatever its shape. Cells of
  padding are not attended, nor is the newline of a row that is padding as a whole; what is not
  attended takes no position. Real tokens come out as in the unpadded layout.
- Masked input tokens are dropped; the result is padded anew, on the right or on the left.
- Images follow the placeholders in row-major order; their numbers must agree.
- Nothing here computes: a `Layout` says for every position of the result where its embedding comes
  from, so that one gather builds embeddings, and the same indices build labels and masks.

Legend: B rows, L input length, N images, S image side, L' length after expansion, M cells in the
sequence.

Source: cambrian.md section 8, inference (unpadded) and training (fixed) layout. Deviation: a row
without a placeholder consumes no image; any number of images may stand anywhere.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from .layout import Layout
from .padding import Border, kept_grid, padding_border

ImageLayout = Literal["unpadded", "fixed"]
PaddingSide = Literal["left", "right"]


@dataclass
class _Tokens:
    """Some positions of a row, as three parallel lists."""

    source: list[int] = field(default_factory=list)
    origin: list[int] = field(default_factory=list)
    attended: list[bool] = field(default_factory=list)


def plan_layout(
    input_ids: Tensor,
    attention_mask: Tensor | None,
    sizes_wh: Sequence[tuple[int, int]],
    *,
    image_side: int,
    image_token_id: int,
    padding_side: PaddingSide = "right",
    image_layout: ImageLayout = "unpadded",
    row_length: int | None = None,
) -> Layout:
    """Plans the expansion of a batch.

    Args:
        input_ids: (B, L) int64.
        attention_mask: (B, L) bool or 0/1; ``None`` where every token counts.
        sizes_wh: Original width and height in pixels of the N images.
        image_side: S.
        image_token_id: Id of the placeholder.
        padding_side: Side on which shorter rows are padded.
        image_layout: ``unpadded`` or ``fixed``.
        row_length: L'; ``None`` for the longest row's.

    Returns:
        The layout, on the device of ``input_ids``.

    Raises:
        ValueError: Placeholders and images differ in number, an image covers no cell at all, or a
            row is longer than ``row_length``.
    """
    rows = input_ids.tolist()
    keep = torch.ones_like(input_ids) if attention_mask is None else attention_mask
    kept_rows = [
        [(j, token) for j, (token, kept) in enumerate(zip(row, mask, strict=True)) if kept]
        for row, mask in zip(rows, keep.tolist(), strict=True)
    ]
    num_placeholders = sum(token == image_token_id for row in kept_rows for _, token in row)
    if num_placeholders != len(sizes_wh):
        raise ValueError(
            f"{num_placeholders} image placeholders in the batch but {len(sizes_wh)} images; "
            "every placeholder needs exactly one image, in row-major order"
        )
    num_text = input_ids.numel()
    blocks = _image_blocks(sizes_wh, image_side, num_text, image_layout)
    expanded = []
    for i, row in enumerate(kept_rows):
        tokens = _Tokens()
        for j, token in row:
            index = i * len(rows[i]) + j
            if token == image_token_id:
                block = next(blocks)
                tokens.source += block.source
                tokens.origin += [index] * len(block.source)
                tokens.attended += block.attended
            else:
                tokens.source.append(index)
                tokens.origin.append(index)
                tokens.attended.append(True)
        expanded.append(tokens)
    newline = num_text + len(sizes_wh) * image_side**2
    _pad(expanded, newline + 1, padding_side, row_length)
    return _to_layout(expanded, num_text, newline, input_ids.device)


def _image_blocks(
    sizes_wh: Sequence[tuple[int, int]], side: int, num_text: int, image_layout: ImageLayout
) -> Iterator[_Tokens]:
    """Every image's tokens, newlines included; their origin is left to the caller."""
    newline = num_text + len(sizes_wh) * side**2
    for n, (width, height) in enumerate(sizes_wh):
        border = padding_border(width, height, side)
        if 0 in kept_grid(width, height, side):
            raise ValueError(
                f"image {n} of {width}x{height} pixels covers no cell of the {side}x{side} image "
                f"grid; expected an aspect ratio of at most {side}"
            )
        first = num_text + n * side**2
        if image_layout == "fixed":
            yield _fixed_block(first, newline, border, side)
        else:
            yield _unpadded_block(first, newline, border, side)


def _unpadded_block(first: int, newline: int, border: Border, side: int) -> _Tokens:
    source: list[int] = []
    for row in range(border.rows, side - border.rows):
        start = first + row * side
        source += [*range(start + border.columns, start + side - border.columns), newline]
    return _Tokens(source=source, attended=[True] * len(source))


def _fixed_block(first: int, newline: int, border: Border, side: int) -> _Tokens:
    block = _Tokens()
    for row in range(side):
        start = first + row * side
        block.source += [*range(start, start + side), newline]
        kept_row = border.rows <= row < side - border.rows
        columns = range(border.columns, side - border.columns)
        block.attended += [kept_row and column in columns for column in range(side)]
        block.attended.append(kept_row)
    return block


def _pad(
    rows: Sequence[_Tokens], pad: int, padding_side: PaddingSide, row_length: int | None
) -> None:
    """Brings all rows to one length."""
    longest = max(len(row.source) for row in rows)
    length = longest if row_length is None else row_length
    if longest > length:
        raise ValueError(
            f"a row of {longest} tokens with its images expanded, in rows of {length}; plan the "
            "rows with the image layout that the model is called with"
        )
    for row in rows:
        missing = length - len(row.source)
        at = 0 if padding_side == "left" else len(row.source)
        row.source[at:at] = [pad] * missing
        row.origin[at:at] = [-1] * missing
        row.attended[at:at] = [False] * missing


def _to_layout(
    rows: Sequence[_Tokens], num_text: int, newline: int, device: torch.device
) -> Layout:
    source_BL = torch.tensor([row.source for row in rows], dtype=torch.int64, device=device)
    flat = source_BL.flatten()
    positions = ((flat >= num_text) & (flat < newline)).nonzero()[:, 0]
    return Layout(
        source=source_BL,
        origin=torch.tensor([row.origin for row in rows], dtype=torch.int64, device=device),
        attention_mask=torch.tensor([row.attended for row in rows], device=device),
        cells=flat[positions] - num_text,
        positions=positions,
        num_text=num_text,
    )
