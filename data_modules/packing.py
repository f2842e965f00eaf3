"""Which samples stand together in which row: a pure plan over lengths, before an image is read.

A row has a budget of tokens (images expanded) and of images. Samples about the same images form a
segment that holds what they share once. Segments are placed the longest first, each into the row
that it fills best (best-fit decreasing); `seed` decides between segments of equal size. Epochs
differ in the order of rows, not in what stands together: so all have as many rows, and a run that
is resumed needs to know no more than how many of them were used.

Source: our own; lengths first, images later follows NeMo Automodel, the image budget nanoVLM.
"""

import random
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from semihvision.core.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Packing:
    """Budget of a row.

    Attributes:
        tokens: Tokens of a row, images expanded. Rows are filled up to it with padding.
        images: Most images in a row.
        share_images: Encode an image once for all questions about it that stand in one row.
    """

    tokens: int
    images: int
    share_images: bool = True

    def __post_init__(self) -> None:
        if self.tokens < 1 or self.images < 1:
            raise InputError(
                f"packing: tokens {self.tokens} and images {self.images}; expected at least 1 each"
            )


class SampleSize(NamedTuple):
    """What a sample takes of a budget.

    Attributes:
        tokens: Its tokens, images expanded.
        images: Its images.
        shared_tokens: Of its tokens, those it can have in common with others; 0 for none.
        shares: Equal for samples that have these tokens and images in common.
        weight: How often an epoch shows it; samples of different weights share no row.
    """

    tokens: int
    images: int
    shared_tokens: int = 0
    shares: Hashable = None
    weight: float = 1.0


class Segment(NamedTuple):
    """Samples that share their images, or one alone, and what they take together."""

    samples: tuple[int, ...]
    tokens: int
    images: int


class Row(NamedTuple):
    """Segments in one row.

    Attributes:
        segments: For each the indices of its samples.
        tokens: What they take of the budget; the rest is padding.
        weight: That of all its samples.
    """

    segments: tuple[tuple[int, ...], ...]
    tokens: int
    weight: float


def plan_rows(sizes: Sequence[SampleSize], packing: Packing, *, seed: int) -> list[Row]:
    """Packs samples into rows.

    Args:
        sizes: One per sample.
        packing: The budget.
        seed: Decides between segments of equal size.

    Returns:
        Rows that hold every sample once.

    Raises:
        InputError: A sample does not fit a row of its own.
    """
    for index, size in enumerate(sizes):
        problem = over_budget(size, packing)
        if problem:
            raise InputError(f"sample number {index}: {problem}")
    draw = random.Random(seed)
    rows = []
    for weight in sorted({size.weight for size in sizes}):
        same = [index for index, size in enumerate(sizes) if size.weight == weight]
        segments = list(_segments(same, sizes, packing))
        draw.shuffle(segments)
        for row in _best_fit(segments, packing):
            tokens = sum(segment.tokens for segment in row)
            rows.append(Row(tuple(segment.samples for segment in row), tokens, weight))
    return rows


def over_budget(size: SampleSize, packing: Packing) -> str:
    """Why a sample does not fit a row; empty where it does.

    Args:
        size: What the sample takes.
        packing: What a row has.
    """
    if size.tokens > packing.tokens:
        return (
            f"{size.tokens} tokens with its images expanded, but a packed row has "
            f"{packing.tokens}; raise packing.tokens or shorten the sample"
        )
    if size.images > packing.images:
        return (
            f"{size.images} images, but a packed row takes {packing.images}; raise packing.images"
        )
    return ""


def padding_fraction(rows: Sequence[Row], packing: Packing) -> float:
    """Share of the rows' tokens that is padding.

    Args:
        rows: At least one.
        packing: Their budget.
    """
    return 1 - sum(row.tokens for row in rows) / (len(rows) * packing.tokens)


def _segments(
    samples: Sequence[int], sizes: Sequence[SampleSize], packing: Packing
) -> Iterable[Segment]:
    groups: dict[Hashable, list[int]] = {}
    for index in samples:
        together = packing.share_images and sizes[index].shared_tokens > 0
        groups.setdefault(("shared", sizes[index].shares) if together else index, []).append(index)
    for group in groups.values():
        yield from _cut(group, sizes, packing.tokens)


def _cut(group: Sequence[int], sizes: Sequence[SampleSize], budget: int) -> Iterable[Segment]:
    """Samples that share their images, in segments that fit a row."""
    images = sizes[group[0]].images
    samples: list[int] = []
    tokens = 0
    for index in group:
        size = sizes[index]
        added = size.tokens - size.shared_tokens if samples else size.tokens
        if samples and tokens + added > budget:
            yield Segment(tuple(samples), tokens, images)
            samples, tokens, added = [], 0, size.tokens
        samples.append(index)
        tokens += added
    yield Segment(tuple(samples), tokens, images)


class _OpenRows:
    """Rows by what is left in them, so that the best fit is found without looking at each.

    For each number of images left, one bit per number of tokens left tells whether there is such a
    row; the lowest bit at or above a segment's tokens is the fullest row that takes it.
    """

    def __init__(self, packing: Packing) -> None:
        self._packing = packing
        self._bits = [0] * (packing.images + 1)
        self._rows: dict[tuple[int, int], list[list[Segment]]] = {}

    def place(self, segment: Segment) -> None:
        """Puts a segment into the fullest row that takes it, or into a new one."""
        found = [
            (segment.tokens + (bits & -bits).bit_length() - 1, images)
            for images in range(segment.images, self._packing.images + 1)
            if (bits := self._bits[images] >> segment.tokens)
        ]
        tokens, images = min(found, default=(self._packing.tokens, self._packing.images))
        row = self._take(tokens, images) if found else []
        row.append(segment)
        left = (tokens - segment.tokens, images - segment.images)
        self._rows.setdefault(left, []).append(row)
        self._bits[left[1]] |= 1 << left[0]

    def _take(self, tokens: int, images: int) -> list[Segment]:
        rows = self._rows[tokens, images]
        row = rows.pop()
        if not rows:
            self._bits[images] &= ~(1 << tokens)
        return row

    def all(self) -> list[list[Segment]]:
        """Every row."""
        return [row for rows in self._rows.values() for row in rows]


def _best_fit(segments: Sequence[Segment], packing: Packing) -> list[list[Segment]]:
    open_rows = _OpenRows(packing)
    for segment in sorted(segments, key=lambda s: (s.tokens, s.images), reverse=True):
        open_rows.place(segment)
    return open_rows.all()
