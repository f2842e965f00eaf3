from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import default_rng
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from data_modules.phantom_anatomy import ORGANS
from data_modules.phantom_words import lesions, other_side
from data_modules.phantoms import NUMBERS, SIDES, SIZES, Factors, Phantom, design, draw

factors = st.builds(
    Factors,
    st.sampled_from(tuple(ORGANS)),
    st.sampled_from(SIDES),
    st.sampled_from(SIZES),
    st.sampled_from(NUMBERS),
)
seeds = st.integers(0, 2**32)


def changed(phantom: Phantom, seed: int) -> NDArray[np.bool_]:
    """Pixels in which the drawing differs from the same one without lesions."""
    size_px = phantom.pixels.shape[0]
    without = draw(phantom.factors, seed, size_px=size_px, with_lesions=False)
    assert without.lesions == phantom.lesions
    return np.abs(phantom.pixels - without.pixels) > 1e-6


@settings(max_examples=120, deadline=None)
@given(what=factors, seed=seeds, size_px=st.sampled_from((64, 96, 128, 200)))
def test_the_truth_is_what_the_drawing_shows(what: Factors, seed: int, size_px: int) -> None:
    phantom = draw(what, seed, size_px=size_px)

    marks, number = ndimage.label(changed(phantom, seed))

    assert number == what.number == len(phantom.lesions)
    found = sorted(
        (columns.start, rows.start, columns.stop, rows.stop)
        for rows, columns in ndimage.find_objects(marks)
    )
    for box, lesion in zip(found, sorted(one.box_xyxy for one in phantom.lesions), strict=True):
        assert np.abs(np.subtract(box, lesion)).max() <= 1
    for lesion in phantom.lesions:
        x0, y0, x1, y1 = lesion.box_xyxy
        assert 0 <= x0 < lesion.centre_xy[0] < x1 <= size_px
        assert 0 <= y0 < lesion.centre_xy[1] < y1 <= size_px
        if what.side == "right":
            # Boxes are rounded outwards, and an edge is about a pixel wide.
            assert x1 - 2 <= phantom.midline_x, "the patient's right is at the image's left"
        else:
            assert x0 + 2 >= phantom.midline_x


@settings(max_examples=60, deadline=None)
@given(what=factors, seed=seeds)
def test_the_stated_size_can_be_measured(what: Factors, seed: int) -> None:
    phantom = draw(what, seed, size_px=128)
    area = changed(phantom, seed).sum() / what.number

    assert (area > 120) == (what.size == "large"), area


@pytest.mark.parametrize("organ", ORGANS)
@pytest.mark.parametrize("seed", range(4))
def test_small_lesions_are_visible_at_64_pixels(organ: str, seed: int) -> None:
    phantom = draw(Factors(organ, "left", "small", 1), seed)
    small = np.asarray(phantom.image().resize((64, 64), Image.Resampling.BICUBIC), dtype=float)
    x, y = (round(value / 2) for value in phantom.lesions[0].centre_xy)

    around = small[max(y - 7, 0) : y + 8, max(x - 7, 0) : x + 8]

    assert small[y - 1 : y + 2, x - 1 : x + 2].mean() - np.median(around) > 40


@given(what=factors, seed=seeds)
@settings(max_examples=20, deadline=None)
def test_the_same_seed_draws_the_same(what: Factors, seed: int) -> None:
    assert (draw(what, seed).pixels == draw(what, seed).pixels).all()
    assert (draw(what, seed).pixels != draw(what, seed + 1).pixels).mean() > 0.5


@pytest.mark.parametrize("organ", ORGANS)
def test_without_lesions_the_two_sides_differ_by_place_only(organ: str) -> None:
    """A model cannot tell the side from anything but the lesions."""
    plain = Factors(organ, "left", "small", 0)
    other = Factors(organ, "right", "large", 0)

    assert (draw(plain, 5).pixels == draw(other, 5).pixels).all()
    assert draw(plain, 5).lesions == ()


@pytest.mark.parametrize("count", [1, 7, 60, 61, 90, 240])
def test_a_design_is_balanced(count: int) -> None:
    drawn = design(count, default_rng(3))

    assert len(drawn) == count
    for index, values in enumerate((tuple(ORGANS), SIDES, SIZES, NUMBERS)):
        shares = [sum(one[index] == value for one in drawn) for value in values]
        assert max(shares) - min(shares) <= 1


def test_factors_are_independent_in_a_whole_design() -> None:
    drawn = design(120, default_rng(3))

    cells = [drawn.count(Factors(*cell)) for cell in product(ORGANS, SIDES, SIZES, NUMBERS)]
    assert set(cells) == {2}


def test_the_order_of_a_design_depends_on_the_seed() -> None:
    assert design(60, default_rng(1)) == design(60, default_rng(1))
    assert design(60, default_rng(1)) != design(60, default_rng(2))


def test_words_say_what_is_drawn() -> None:
    assert lesions(Factors("lungs", "right", "large", 2), "nodule") == (
        "two large nodules in the right lung"
    )
    assert lesions(Factors("liver", "left", "small", 1)) == (
        "one small lesion in the left lobe of the liver"
    )
    assert lesions(Factors("lungs", "left", "small", 0)) == "no lesion in the lungs"
    assert other_side(Factors("brain", "left", "small", 1)) == (
        "no lesion in the right cerebral hemisphere"
    )
