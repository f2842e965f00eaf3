"""The plan of packed rows: every sample once, no budget exceeded, little padding."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_modules.packing import (
    Packing,
    SampleSize,
    over_budget,
    padding_fraction,
    plan_rows,
)
from semihvision.core.errors import InputError

BUDGET = Packing(tokens=60, images=3)
# Tokens, images, weight. Plain tuples: hypothesis does not come to an end printing NamedTuples.
SINGLE = st.lists(
    st.tuples(st.integers(12, 60), st.integers(0, 3), st.sampled_from([1.0, 0.5])),
    min_size=1,
    max_size=40,
)


def single(drawn: list[tuple[int, int, float]]) -> list[SampleSize]:
    return [SampleSize(tokens, images, weight=weight) for tokens, images, weight in drawn]


# Which of five lists of images, and tokens after them.
SHARED = st.lists(st.tuples(st.integers(0, 4), st.integers(1, 30)), min_size=1, max_size=30)


def shared(drawn: list[tuple[int, int]]) -> list[SampleSize]:
    prefixes = [(7, 1), (30, 1), (14, 2), (21, 3), (1, 1)]
    return [
        SampleSize(prefixes[w][0] + rest, prefixes[w][1], prefixes[w][0], w) for w, rest in drawn
    ]


@given(SINGLE, SHARED, st.integers(0, 5), st.booleans())
def test_every_sample_stands_once_in_a_row_that_holds_it(
    one: list[tuple[int, int, float]], other: list[tuple[int, int]], seed: int, share: bool
) -> None:
    sizes = single(one) + shared(other)
    packing = Packing(tokens=60, images=3, share_images=share)
    rows = plan_rows(sizes, packing, seed=seed)
    assert sorted(i for row in rows for s in row.segments for i in s) == list(range(len(sizes)))
    for row in rows:
        tokens = images = 0
        for segment in row.segments:
            first = sizes[segment[0]]
            prefix = first.shared_tokens
            assert len(segment) == 1 or (share and prefix > 0)
            assert len({sizes[i].shares for i in segment}) == 1
            tokens += first.tokens + sum(sizes[i].tokens - prefix for i in segment[1:])
            images += first.images
        assert tokens == row.tokens <= packing.tokens
        assert images <= packing.images
        assert {sizes[i].weight for s in row.segments for i in s} == {row.weight}
    assert plan_rows(sizes, packing, seed=seed) == rows


@given(SINGLE)
def test_no_two_rows_would_fit_into_one(drawn: list[tuple[int, int, float]]) -> None:
    sizes = single(drawn)
    rows = plan_rows(sizes, BUDGET, seed=0)

    def images(segments: tuple[tuple[int, ...], ...]) -> int:
        return sum(sizes[segment[0]].images for segment in segments)

    for i, one in enumerate(rows):
        for other in rows[:i]:
            too_long = one.tokens + other.tokens > BUDGET.tokens
            too_many = images(one.segments) + images(other.segments) > BUDGET.images
            assert one.weight != other.weight or too_long or too_many


def test_the_seed_decides_between_equal_sizes_but_not_how_many_rows_there_are() -> None:
    sizes = [SampleSize(tokens=10 + i % 3, images=1) for i in range(30)]
    plans = [plan_rows(sizes, BUDGET, seed=seed) for seed in range(3)]
    assert plans[0] != plans[1]
    assert len({len(plan) for plan in plans}) == 1


def test_an_image_is_shared_by_as_many_questions_as_fit() -> None:
    sizes = [SampleSize(tokens=30, images=1, shared_tokens=20, shares="a")] * 7
    segments = [row.segments for row in plan_rows(sizes, BUDGET, seed=0)]
    assert sorted(len(segment) for (segment,) in segments) == [3, 4]
    alone = plan_rows(sizes, Packing(tokens=60, images=3, share_images=False), seed=0)
    assert len(alone) == 4


def test_padding_is_what_the_rows_do_not_use() -> None:
    rows = plan_rows([SampleSize(45, 0), SampleSize(30, 0)], BUDGET, seed=0)
    assert padding_fraction(rows, BUDGET) == pytest.approx(1 - 75 / 120)


def test_what_does_not_fit_is_refused() -> None:
    assert "61 tokens with its images expanded" in over_budget(SampleSize(61, 0), BUDGET)
    assert "4 images, but a packed row takes 3" in over_budget(SampleSize(9, 4), BUDGET)
    assert over_budget(SampleSize(60, 3), BUDGET) == ""
    with pytest.raises(InputError, match="sample number 1: 61 tokens"):
        plan_rows([SampleSize(1, 0), SampleSize(61, 0)], BUDGET, seed=0)
    with pytest.raises(InputError, match="tokens 0 and images 1; expected at least 1"):
        Packing(tokens=0, images=1)
