"""The clustered bootstrap: invariances, edge cases and the size it must have."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation import statistics
from evaluation.statistics import clustered_bootstrap_interval

VALUES = st.lists(st.tuples(st.floats(0, 100), st.sampled_from("abcdef")), min_size=2, max_size=30)


@settings(deadline=None, max_examples=50)
@given(rows=VALUES, data=st.data())
def test_order_does_not_matter_and_interval_stays_in_range(rows, data) -> None:
    values, clusters = zip(*rows, strict=True)
    interval = clustered_bootstrap_interval(values, clusters, num_resamples=200)
    if len(set(clusters)) < 2:
        assert interval is None
        return
    assert min(values) - 1e-9 <= interval.low <= interval.high <= max(values) + 1e-9
    shuffled_values, shuffled_clusters = zip(*data.draw(st.permutations(rows)), strict=True)
    again = clustered_bootstrap_interval(shuffled_values, shuffled_clusters, num_resamples=200)
    assert again == pytest.approx(interval)


def test_width_is_that_of_independent_clusters() -> None:
    """Ten equal answers about one image are one observation, not ten."""
    hits = np.random.default_rng(1).integers(0, 2, size=400).astype(float)
    clusters = [str(number) for number in range(400)]
    expected = 2 * 1.96 * hits.std() / np.sqrt(400)
    alone = clustered_bootstrap_interval(hits, clusters, num_resamples=10_000)
    tenfold = clustered_bootstrap_interval(
        np.repeat(hits, 10), list(np.repeat(clusters, 10)), num_resamples=10_000
    )
    blind = clustered_bootstrap_interval(
        np.repeat(hits, 10), [str(number) for number in range(4000)], num_resamples=2000
    )
    assert alone.high - alone.low == pytest.approx(expected, rel=0.05)
    assert tenfold == pytest.approx(alone)
    assert blind.high - blind.low == pytest.approx(expected / np.sqrt(10), rel=0.1)


def test_seed_decides() -> None:
    values, clusters = [0.0, 100.0, 30.0, 50.0], ["a", "b", "c", "d"]
    first = clustered_bootstrap_interval(values, clusters, num_resamples=50, seed=3)
    assert clustered_bootstrap_interval(values, clusters, num_resamples=50, seed=3) == first
    others = {
        clustered_bootstrap_interval(values, clusters, num_resamples=50, seed=seed)
        for seed in range(5)
    }
    assert len(others) > 1


def test_lengths_must_agree() -> None:
    with pytest.raises(ValueError, match="expected one cluster per value, got 1 for 2"):
        clustered_bootstrap_interval([1.0, 2.0], ["a"])


def test_nothing_has_no_interval() -> None:
    assert clustered_bootstrap_interval([], []) is None


def test_drawing_in_parts_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    values, clusters = [1.0, 0.0, 1.0, 1.0, 0.0], ["a", "a", "b", "c", "d"]
    whole = clustered_bootstrap_interval(values, clusters)
    monkeypatch.setattr(statistics, "_MAX_DRAWS", 12)
    assert clustered_bootstrap_interval(values, clusters) == whole
