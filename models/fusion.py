"""Image tokens into the text: fusion replaces each placeholder by the kept cells of its image.

- An image is its kept rows, left to right, top to bottom, each row followed by one newline token.
- Masked input tokens are dropped; the result is padded anew, on the right or on the left.
- Images follow the placeholders in row-major order; their numbers must agree.
- Nothing here computes: a `Layout` says for every position of the result where its embedding comes
  from, so that one gather builds embeddings, and the same indices build labels and masks.

Legend: B rows, L input length, N images, S image side, L' length after expansion, M kept cells.

Source: cambrian.md section 8, inference layout. Deviation: a row without a placeholder consumes no
image; any number of images may stand anywhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from .padding import kept_grid, padding_border


@dataclass(frozen=True)
class Layout:
    """Where every position of an expanded batch comes from.

    Attributes:
        source: (B, L') int64 into the table [B·L text tokens | N·S² image cells | newline | pad].
        attention_mask: (B, L') bool, False on padding.
        cells: (M,) int64, the kept cells n·S² + row·S + column in the order of the sequence.
        positions: (M,) int64, index of each of those cells in the flattened (B·L') result.
        num_text: B·L, the first index that is not text.
    """

    source: Tensor
    attention_mask: Tensor
    cells: Tensor
    positions: Tensor
    num_text: int

    def embed(self, text: Tensor, cells: Tensor, newline: Tensor) -> Tensor:
        """Embeddings of the expanded batch.

        Args:
            text: (B, L, H) embeddings; those at placeholders are not used.
            cells: (N, S², H) image features.
            newline: (H,).

        Returns:
            (B, L', H), zero on padding.
        """
        table = torch.cat(
            [
                text.flatten(0, 1),
                cells.flatten(0, 1).to(text.dtype),
                newline[None].to(text.dtype),
                text.new_zeros(1, text.shape[-1]),
            ]
        )
        return table[self.source]

    def expand_labels(self, labels: Tensor, ignore_index: int) -> Tensor:
        """Labels of the expanded batch.

        Args:
            labels: (B, L) int64.
            ignore_index: Label of image tokens and padding.

        Returns:
            (B, L') int64.
        """
        text = self.source < self.num_text
        return torch.where(text, labels.flatten()[self.source.where(text, 0)], ignore_index)


def plan_layout(
    input_ids: Tensor,
    attention_mask: Tensor | None,
    sizes_wh: Sequence[tuple[int, int]],
    *,
    image_side: int,
    image_token_id: int,
    padding_side: Literal["left", "right"],
) -> Layout:
    """Plans the expansion of a batch.

    Args:
        input_ids: (B, L) int64.
        attention_mask: (B, L) bool or 0/1; ``None`` where every token counts.
        sizes_wh: Original width and height in pixels of the N images.
        image_side: S.
        image_token_id: Id of the placeholder.
        padding_side: Side on which shorter rows are padded.

    Returns:
        The layout, on the device of ``input_ids``.

    Raises:
        ValueError: Placeholders and images differ in number, or an image covers no cell at all.
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
    blocks = iter(_image_blocks(sizes_wh, image_side, num_text))
    sources: list[list[int]] = []
    for i, row in enumerate(kept_rows):
        source: list[int] = []
        for j, token in row:
            if token == image_token_id:
                source.extend(next(blocks))
            else:
                source.append(i * len(rows[i]) + j)
        sources.append(source)
    newline = num_text + len(sizes_wh) * image_side**2
    return _pad(sources, num_text, newline, padding_side, input_ids.device)


def _image_blocks(sizes_wh: Sequence[tuple[int, int]], side: int, num_text: int) -> list[list[int]]:
    """Table indices of every image's tokens, newlines included."""
    newline = num_text + len(sizes_wh) * side**2
    blocks = []
    for n, (width, height) in enumerate(sizes_wh):
        border, kept = padding_border(width, height, side), kept_grid(width, height, side)
        if kept.rows == 0 or kept.columns == 0:
            raise ValueError(
                f"image {n} of {width}x{height} pixels covers no cell of the {side}x{side} image "
                f"grid; expected an aspect ratio of at most {side}"
            )
        block: list[int] = []
        for row in range(border.rows, border.rows + kept.rows):
            first = num_text + n * side**2 + row * side + border.columns
            block.extend(range(first, first + kept.columns))
            block.append(newline)
        blocks.append(block)
    return blocks


def _pad(
    sources: list[list[int]],
    num_text: int,
    newline: int,
    padding_side: Literal["left", "right"],
    device: torch.device,
) -> Layout:
    length = max(map(len, sources))
    padded = []
    for source in sources:
        padding = [newline + 1] * (length - len(source))
        padded.append(padding + source if padding_side == "left" else source + padding)
    source_BL = torch.tensor(padded, dtype=torch.int64, device=device).reshape(-1, length)
    flat = source_BL.flatten()
    positions = ((flat >= num_text) & (flat < newline)).nonzero()[:, 0]
    return Layout(
        source=source_BL,
        attention_mask=source_BL <= newline,
        cells=flat[positions] - num_text,
        positions=positions,
        num_text=num_text,
    )
