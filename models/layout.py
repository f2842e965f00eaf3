"""Where every position of an expanded batch comes from: what `models.fusion` plans.

Legend: B rows, L input length, N images, S image side, H language width, L' length after expansion,
M cells in the sequence.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from .host import sent


@dataclass(frozen=True)
class Layout:
    """Where every position of an expanded batch comes from.

    Attributes:
        source: (B, L') int64 into the table [B·L text tokens | N·S² image cells | newline | pad].
        origin: (B, L') int64, the input token (flattened B·L) a position stands for: itself, or the
            placeholder of its image; -1 on padding.
        attention_mask: (B, L') bool, False on padding and on padded cells of the fixed layout.
        cells: (M,) int64, cells n·S² + row·S + column in the order of the sequence.
        positions: (M,) int64, index of each of those cells in the flattened (B·L') result.
        num_text: B·L, the first index that is not text.
    """

    source: Tensor
    origin: Tensor
    attention_mask: Tensor
    cells: Tensor
    positions: Tensor
    num_text: int

    def to(self, device: torch.device) -> "Layout":
        """The same layout on a device."""
        return Layout(
            source=sent(self.source, device),
            origin=sent(self.origin, device),
            attention_mask=sent(self.attention_mask, device),
            cells=sent(self.cells, device),
            positions=sent(self.positions, device),
            num_text=self.num_text,
        )

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

    def expand_ids(self, ids: Tensor, padding: int) -> Tensor:
        """Ids of the expanded batch; every token of an image takes that of its placeholder.

        Args:
            ids: (B, L) int64, e.g. the segment of each input token.
            padding: Id of padding.

        Returns:
            (B, L') int64.
        """
        real = self.origin >= 0
        return torch.where(real, ids.flatten()[self.origin.where(real, 0)], padding)
