"""An epoch of given numbers, by hand; one of real batches is in ``test_estimate``."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.batch_work import BatchWork
from models.presets import preset
from semihvision.core.errors import InputError
from semihvision.training.activations import BatchShape
from semihvision.training.epoch_plan import from_numbers, images_that_fit, square_tokens
from semihvision.training.estimate import EpochPlan


def given_numbers(**changed: Any) -> EpochPlan:
    numbers: dict[str, Any] = {
        "samples": 10,
        "tokens": 100,
        "images": 2,
        "longest": 200,
        "packed_images": None,
        "items_per_batch": 4,
        "batches_per_step": 1,
    }
    return from_numbers(preset("tiny"), **numbers | changed)


def test_given_numbers_make_an_epoch() -> None:
    plan = given_numbers()
    assert plan.work == BatchWork(1000, 50500, 10 * (100 - 84), 20, 1000)
    assert plan.largest == BatchShape(positions=800, scored_tokens=4 * (200 - 84), images=8)
    assert plan.steps(2) == 2


@pytest.mark.parametrize(
    ("tokens", "images", "most", "rows", "row_images"),
    [
        (100, 1, 8, 5, 2),  # two a row, by tokens
        (50, 1, 8, 3, 4),  # four a row: tokens leave room for no fifth image
        (50, 1, 2, 5, 2),  # the images' limit makes more rows
        (50, 0, 2, 3, 0),
    ],
)
def test_packed_numbers_fill_rows(
    tokens: int, images: int, most: int, rows: int, row_images: int
) -> None:
    plan = given_numbers(tokens=tokens, images=images, packed_images=most)
    # The same work, for packed samples do not see each other.
    assert plan.work == given_numbers(tokens=tokens, images=images).work
    assert plan.items == rows
    text = 200 - 42 * row_images
    assert plan.largest == BatchShape(800, 4 * text, 4 * row_images)


def test_numbers_that_cannot_be_name_their_options() -> None:
    with pytest.raises(InputError, match=r"--images-per-sample 3: .* 126, but .* 100; .*--tokens"):
        given_numbers(images=3)
    with pytest.raises(InputError, match=r"--images-per-sample 2: .* row may have 1 .*packing"):
        given_numbers(packed_images=1)


@given(tokens=st.integers(44, 5000), most=st.integers(1, 9))
def test_a_full_row_has_text_and_no_room_for_another_image(tokens: int, most: int) -> None:
    config = preset("tiny")
    images = images_that_fit(config, tokens, most)
    assert 1 <= images <= most
    assert images * square_tokens(config) < tokens
    assert images == most or (images + 1) * square_tokens(config) >= tokens
