"""Who attends to whom in packed rows, and at which position.

A packed row is a sequence of segments. A segment is a prefix (what its samples share: system text
and images) followed by branches, one per sample; a sample alone in its segment is all prefix.
Token i attends to token j iff both are in one segment, j is not after i, j counts, and j is of the
prefix or of i's own branch. Positions go on from the prefix in every branch. So each branch sees
exactly what it would see as a sample of its own.

Every token attends to itself, also one that does not count (padding): a row of the mask without a
single key would be undefined.

Legend: B rows, L' length.

Source: our own; the idea of branches over one image is Molmo's ("message trees").
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from .fusion import ImageLayout
from .host import sent
from .layout import Layout

MaskMod = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]

PREFIX = 0
"""Branch id of what the branches of a segment share; branches count from 1."""

PADDING = -1
"""Segment id of padding."""

_MOST_BRANCHES = 1 << 16  # Each takes a token, and rows are shorter.
_UNSEEN = -1  # The prefix of padding is -_MOST_BRANCHES.


class Groups(NamedTuple):
    """What a token belongs to: a key is seen by queries of whose two groups its own is one.

    Attributes:
        own: (B, L') int32, segment and branch.
        prefix: (B, L') int32, the prefix of the segment.
        seen_as: (B, L') int32, ``own`` or, of a token that does not count, a group nobody sees.
    """

    own: Tensor
    prefix: Tensor
    seen_as: Tensor


@dataclass(frozen=True)
class Segments:
    """How rows are divided.

    Attributes:
        segment_ids: (B, L') int64, `PADDING` on padding; a segment's tokens stand together.
        branch_ids: (B, L') int64, `PREFIX` or the number of the branch in its segment; the prefix
            stands first and a branch's tokens stand together.
        attended: (B, L') bool, False on what does not count: padding, padded image cells.
    """

    segment_ids: Tensor
    branch_ids: Tensor
    attended: Tensor

    def to(self, device: torch.device) -> "Segments":
        """The same segments on a device."""
        return Segments(
            sent(self.segment_ids, device),
            sent(self.branch_ids, device),
            sent(self.attended, device),
        )

    def position_ids(self) -> Tensor:
        """(B, L') int64: how many tokens that count each token sees before itself."""
        counts = self.attended.cumsum(dim=1)
        starts = run_starts(self.segment_ids) | run_starts(self.branch_ids)
        before = (counts - self.attended.long()).where(starts, 0).cummax(dim=1).values
        prefix = _prefix_lengths(self).where(self.branch_ids != PREFIX, 0)
        return (counts - before - 1 + prefix).clamp(min=0)

    def groups(self) -> "Groups":
        """Segment and branch as one number, since FlexAttention reads it for every pair."""
        prefix = self.segment_ids.int() * _MOST_BRANCHES
        own = prefix + self.branch_ids.int()
        return Groups(own, prefix, own.where(self.attended, _UNSEEN))

    def sight(self, position_ids: Tensor, window: int | None) -> MaskMod:
        """The rule of who sees whom, in the form FlexAttention wants it.

        Args:
            position_ids: Those of `position_ids`.
            window: Positions that sliding attention reaches back, the own one counted; ``None``
                for all.

        Returns:
            A function of row, head, query index and key index (which broadcast) to bool.
        """
        groups = self.groups()

        def sees(row: Tensor, _head: Tensor, query: Tensor, key: Tensor) -> Tensor:
            group = groups.seen_as[row, key]
            seen = (group == groups.own[row, query]) | (group == groups.prefix[row, query])
            seen = seen & (key <= query)
            if window is not None:
                seen = seen & (position_ids[row, query] - position_ids[row, key] < window)
            return seen | (query == key)

        return sees


def run_starts(ids: Tensor) -> Tensor:
    """(B, L') bool, True where an id differs from the one before it."""
    changed = ids[:, 1:] != ids[:, :-1]
    return torch.cat([torch.ones_like(ids[:, :1], dtype=torch.bool), changed], dim=1)


def _prefix_lengths(segments: Segments) -> Tensor:
    """(B, L') int64: tokens that count in the prefix of each token's segment."""
    runs = run_starts(segments.segment_ids).cumsum(dim=1) - 1
    counted = (segments.attended & (segments.branch_ids == PREFIX)).long()
    return torch.zeros_like(runs).scatter_add(1, runs, counted).gather(1, runs)


def expand_segments(
    layout: Layout,
    image_layout: ImageLayout,
    segment_ids: Tensor | None,
    branch_ids: Tensor | None,
) -> Segments | None:
    """Segments of an expanded batch; an image belongs where its placeholder does.

    Args:
        layout: How the batch was expanded.
        image_layout: Which layout it is in.
        segment_ids: (B, L) int64 of packed rows; ``None`` where every row is one sample.
        branch_ids: (B, L) int64; goes with ``segment_ids``.

    Returns:
        ``None`` for unpacked rows in the unpadded layout, which need no more than a plain mask.

    Raises:
        ValueError: One of the two ids is given without the other.
    """
    if (segment_ids is None) != (branch_ids is None):
        raise ValueError("one of segment_ids and branch_ids is missing; packed rows need both")
    if segment_ids is None or branch_ids is None:
        if image_layout == "unpadded":
            return None
        whole = torch.where(layout.origin >= 0, PREFIX, PADDING)
        return Segments(whole, torch.zeros_like(whole), layout.attention_mask)
    return Segments(
        segment_ids=layout.expand_ids(segment_ids, PADDING),
        branch_ids=layout.expand_ids(branch_ids, PREFIX),
        attended=layout.attention_mask,
    )
