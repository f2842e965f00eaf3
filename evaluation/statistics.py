"""How sure a score is: bootstrap intervals that respect groups of questions."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

_MAX_DRAWS = 4_000_000
"""Numbers drawn at once, 32 MB; 80,000 images would take 1.3 GB otherwise. The stream, and with it
the result, is the same."""


class Interval(NamedTuple):
    """Lower and upper end, in the unit of the values."""

    low: float
    high: float


def clustered_bootstrap_interval(
    values: npt.ArrayLike,
    clusters: Sequence[str],
    *,
    level: float = 0.95,
    num_resamples: int = 2000,
    seed: int = 0,
) -> Interval | None:
    """Percentile bootstrap interval of a mean, resampling whole clusters.

    Several questions about one image are not independent, so images are drawn with replacement
    and each brings all its questions: a resample's mean is the sum of the drawn clusters' values
    over the number of their questions. Each call starts its generator from ``seed``, so the result
    depends neither on the order of the questions nor on what was computed before.

    Args:
        values: (n,) scores of single questions.
        clusters: (n,) the cluster of each, e.g. its image.
        level: Coverage, between 0 and 1.
        num_resamples: Number of bootstrap resamples.
        seed: Seed of the generator.

    Returns:
        The interval; None with fewer than two clusters, which say nothing about the spread.

    Raises:
        ValueError: The two sequences differ in length.

    Source:
        Field and Welsh, "Bootstrapping clustered data", JRSS B 69 (2007), the cluster bootstrap.
    """
    scores = np.asarray(values, dtype=np.float64)
    if len(scores) != len(clusters):
        raise ValueError(f"expected one cluster per value, got {len(clusters)} for {len(scores)}")
    _, membership = np.unique(np.asarray(clusters), return_inverse=True)
    sizes = np.bincount(membership)
    if len(sizes) < 2:
        return None
    sums = np.bincount(membership, weights=scores)
    random = np.random.default_rng(seed)
    at_once = max(1, _MAX_DRAWS // len(sizes))
    means = np.empty(num_resamples)
    for start in range(0, num_resamples, at_once):
        some = means[start : start + at_once]
        drawn = random.integers(len(sizes), size=(len(some), len(sizes)))
        some[:] = sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    tail = (1 - level) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return Interval(float(low), float(high))
