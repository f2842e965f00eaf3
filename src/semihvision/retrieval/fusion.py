"""Joining several rankings of the same items into one.

Cosines of different embedders cannot be compared, ranks can: reciprocal rank fusion,

    fused(item) = sum over rankings of 1 / (60 + rank of the item in it, from 1).

With one ranking that is the ranking itself.

Source: Cormack, Clarke and Buettcher, SIGIR 2009. The paper's own fusion is not known (paper.md,
section 1); this is our choice.
"""

from collections.abc import Sequence
from typing import NamedTuple

RANK_OFFSET = 60
"""The constant of the authors of the method."""


class Ranking(NamedTuple):
    """Items with their cosines, best first, and how they were found.

    Attributes:
        via: Name of the way.
        entries: (row of the item, cosine), each item once.
    """

    via: str
    entries: list[tuple[int, float]]


class Fused(NamedTuple):
    """One item of the joined ranking.

    Attributes:
        row: Row of the item.
        score: Its highest cosine.
        via: The rankings it stands in, joined by ``+``.
    """

    row: int
    score: float
    via: str


def best_first(entry: tuple[int, float]) -> tuple[float, int]:
    """Sort key of (row, cosine): highest cosine first, then lowest row."""
    return (-entry[1], entry[0])


def fuse(rankings: Sequence[Ranking]) -> list[Fused]:
    """Joins rankings; ties go to the higher cosine, then to the lower row."""
    fused: dict[int, float] = {}
    score: dict[int, float] = {}
    via: dict[int, list[str]] = {}
    for ranking in rankings:
        for rank, (row, cosine) in enumerate(ranking.entries, start=1):
            fused[row] = fused.get(row, 0.0) + 1.0 / (RANK_OFFSET + rank)
            score[row] = max(score.get(row, -1.0), cosine)
            via.setdefault(row, []).append(ranking.via)
    order = sorted(fused, key=lambda row: (-fused[row], -score[row], row))
    return [Fused(row, score[row], "+".join(via[row])) for row in order]
