"""The hnswlib index and the exact one."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors

from semihvision.core.errors import InputError
from semihvision.retrieval.embedders import Vectors, unit_rows
from semihvision.retrieval.index import HnswIndex, HnswSettings
from semihvision.retrieval.vectors import ExactIndex

SETTINGS = HnswSettings(M=16, ef_construction=100, ef=50)


def random_units(count: int, dimension: int, seed: int) -> Vectors:
    return unit_rows(np.random.default_rng(seed).standard_normal((count, dimension)))


@settings(max_examples=30, deadline=None)
@given(
    count=st.integers(1, 80),
    dimension=st.integers(2, 20),
    k=st.integers(1, 80),
    seed=st.integers(0, 1000),
)
def test_small_index_is_exact_and_finds_itself(
    count: int, dimension: int, k: int, seed: int
) -> None:
    vectors = random_units(count, dimension, seed)
    k = min(k, count)
    found = HnswIndex.build(vectors, SETTINGS).query(vectors, k)
    exact = ExactIndex(vectors).query(vectors, k)
    itself = (vectors[found.rows[:, 0]] * vectors).sum(axis=1)
    np.testing.assert_allclose(itself, 1.0, atol=1e-6)
    np.testing.assert_allclose(found.scores, exact.scores, atol=1e-5)
    assert (np.diff(found.scores, axis=1) <= 0).all()
    assert all(len(set(row)) == k for row in found.rows.tolist())
    assert found.rows.dtype == np.int64


def test_exact_index_equals_scikit_learn() -> None:
    vectors = random_units(700, 24, 1)
    queries = random_units(50, 24, 2)
    reference = NearestNeighbors(n_neighbors=9, metric="cosine", algorithm="brute").fit(vectors)
    distances, rows = reference.kneighbors(queries)
    found = ExactIndex(vectors).query(queries, 9)
    np.testing.assert_array_equal(found.rows, rows)
    np.testing.assert_allclose(found.scores, 1.0 - distances, atol=1e-6)


def test_equal_builds_give_equal_files(tmp_path: Path) -> None:
    vectors = random_units(300, 16, 3)
    for name in ("one", "two"):
        HnswIndex.build(vectors, SETTINGS).save(tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_loaded_index_answers_as_the_built_one_did(tmp_path: Path) -> None:
    """hnswlib does not save `ef`: at its default of 10 the answers would differ."""
    vectors = random_units(2000, 32, 4)
    built = HnswIndex.build(vectors, HnswSettings(M=4, ef_construction=20, ef=200))
    built.save(tmp_path / "graph")
    low = HnswSettings(M=4, ef_construction=20, ef=10)
    again = HnswIndex.load(
        tmp_path / "graph", vectors, HnswSettings(M=4, ef_construction=20, ef=200)
    )
    queries = random_units(100, 32, 5)
    for ours, theirs in zip(built.query(queries, 10), again.query(queries, 10), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    worse = HnswIndex.load(tmp_path / "graph", vectors, low).query(queries, 10)
    assert worse.scores.mean() < again.query(queries, 10).scores.mean()


def test_k_above_ef_is_answered_in_full() -> None:
    vectors = random_units(120, 8, 6)
    found = HnswIndex.build(vectors, HnswSettings(M=8, ef_construction=50, ef=1)).query(vectors, 90)
    assert all(len(set(row)) == 90 for row in found.rows.tolist())


def test_equal_vectors_that_cut_the_graph_are_searched_exactly() -> None:
    vectors = np.zeros((300, 8), np.float32)
    vectors[:290, 0] = 1.0
    vectors[290:, 1] = 1.0
    index = HnswIndex.build(vectors, HnswSettings(M=4, ef_construction=20, ef=20))
    found = index.query(vectors[:1], 300)
    assert sorted(found.rows[0].tolist()) == list(range(300))
    assert found.scores[0].tolist() == [1.0] * 290 + [0.0] * 10


def test_a_graph_of_other_vectors_is_refused(tmp_path: Path) -> None:
    vectors = random_units(60, 12, 7)
    path = tmp_path / "graph"
    HnswIndex.build(vectors, SETTINGS).save(path)
    for other in (random_units(59, 12, 7), random_units(60, 6, 7), random_units(60, 24, 7)):
        with pytest.raises(InputError, match=r"\(60, 12\)"):
            HnswIndex.load(path, other, SETTINGS)


@pytest.mark.parametrize("keep", [0, 40, 500])
def test_a_truncated_graph_is_refused(tmp_path: Path, keep: int) -> None:
    vectors = random_units(60, 12, 8)
    path = tmp_path / "graph"
    HnswIndex.build(vectors, SETTINGS).save(path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match="build"):
        HnswIndex.load(path, vectors, SETTINGS)


@pytest.mark.parametrize(
    "wrong", [{"M": 1}, {"M": 1000}, {"ef_construction": 8}, {"ef": 0}, {"seed": -1}]
)
def test_settings_out_of_range_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(InputError, match=f"{next(iter(wrong))} .*expected"):
        HnswSettings(**wrong)
