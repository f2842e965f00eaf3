"""Over-long samples: refused, or shortened by turns and the end of an answer, never by an image."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from models.presets import preset
from models.processing import PMCCambrianProcessor
from semihvision.core.batch import EncodedSample, Turn
from semihvision.core.errors import InputError

IMAGE = -200
IMAGE_TOKENS = 6 * 7
"""Tokens of a square image on tiny's grid."""
END_OF_TURN = 9
Picture = Callable[..., Image.Image]
DIALOGUE = [
    Turn("human", "<image>\nWhich side?"),
    Turn("gpt", "the left lung"),
    Turn("human", "<image>\nAnd here?"),
    Turn("gpt", "the right lung"),
    Turn("human", "Sure?"),
    Turn("gpt", "yes"),
]
SIZES = [(20, 20), (30, 30)]


def processor(max_length: int = 1024, too_long: str = "shorten") -> PMCCambrianProcessor:
    return PMCCambrianProcessor.from_preset("tiny", max_length=max_length, too_long=too_long)


def encode(made: PMCCambrianProcessor, picture: Picture, turns: list[Turn]) -> EncodedSample:
    count = sum(turn.text.count("<image>") for turn in turns)
    return made.encode("r#1", turns, [made.prepare_image(picture(*size)) for size in SIZES[:count]])


def length_of(sample: EncodedSample) -> int:
    return len(sample["input_ids"]) + len(sample["images"]) * (IMAGE_TOKENS - 1)


@pytest.fixture(scope="module")
def lengths(picture: Picture) -> list[int]:
    """Lengths of the dialogue's first pair, first two, and all three."""
    return [length_of(encode(processor(), picture, DIALOGUE[:end])) for end in (2, 4, 6)]


def test_what_fits_is_left_alone(picture: Picture, lengths: list[int]) -> None:
    one, other = processor(lengths[2]), processor(lengths[2], "refuse")
    assert torch.equal(
        encode(one, picture, DIALOGUE)["input_ids"], encode(other, picture, DIALOGUE)["input_ids"]
    )
    assert one.check("r#1", DIALOGUE, SIZES)[:2] == (lengths[2], False)


def test_trailing_pairs_go_first_with_their_images(picture: Picture, lengths: list[int]) -> None:
    for kept in (1, 2):
        for limit in (lengths[kept - 1], lengths[kept] - 1):
            short = encode(processor(limit), picture, DIALOGUE)
            expected = encode(processor(), picture, DIALOGUE[: 2 * kept])
            assert torch.equal(short["input_ids"], expected["input_ids"])
            assert torch.equal(short["labels"], expected["labels"])
            assert [image.size_wh for image in short["images"]] == SIZES[:kept]
            fit = processor(limit).check("r#1", DIALOGUE, SIZES)
            assert fit[:2] == (lengths[kept - 1], True)


def test_then_the_answer_loses_its_end_and_no_end_of_turn_is_taught(
    picture: Picture, lengths: list[int]
) -> None:
    whole = encode(processor(), picture, DIALOGUE[:2])
    short = encode(processor(lengths[0] - 1), picture, DIALOGUE)
    assert torch.equal(short["input_ids"], whole["input_ids"][:-1])
    assert torch.equal(short["labels"], whole["labels"][:-1])
    assert whole["labels"][-1] == END_OF_TURN
    assert END_OF_TURN not in short["labels"]


def test_at_least_one_token_of_an_answer_is_left(picture: Picture, lengths: list[int]) -> None:
    whole = encode(processor(), picture, DIALOGUE)
    least = int((whole["labels"] != -100).nonzero()[0]) + IMAGE_TOKENS
    labels = encode(processor(least), picture, DIALOGUE)["labels"]
    assert (labels != -100).sum() == 1
    with pytest.raises(InputError, match="no room for an answer"):
        encode(processor(least - 1), picture, DIALOGUE)


def test_a_system_turn_stays(picture: Picture, lengths: list[int]) -> None:
    turns = [Turn("system", "Be brief."), *DIALOGUE]
    system = len(encode(processor(), picture, turns[:3])["input_ids"])
    plain = len(encode(processor(), picture, DIALOGUE[:2])["input_ids"])
    short = encode(processor(lengths[0] + system - plain), picture, turns)
    expected = encode(processor(), picture, turns[:3])
    assert torch.equal(short["input_ids"], expected["input_ids"])


@given(limit=st.integers(1, 200))
def test_no_limit_ever_cuts_an_image_or_a_question(
    picture: Picture, lengths: list[int], limit: int
) -> None:
    made = processor(limit)
    whole = encode(processor(), picture, DIALOGUE)
    question = int((whole["labels"] != -100).nonzero()[0])
    if limit < question + IMAGE_TOKENS:
        with pytest.raises(InputError, match="never cut") as caught:
            made.check("r#1", DIALOGUE, SIZES)
        assert caught.value.kind == "too_long"
        return
    fit, sample = made.check("r#1", DIALOGUE, SIZES), encode(made, picture, DIALOGUE)
    assert fit.length == length_of(sample) <= limit
    assert fit.shortened == (limit < lengths[2])
    ids = sample["input_ids"]
    assert torch.equal(ids, whole["input_ids"][: len(ids)])
    assert (ids == IMAGE).sum() == len(sample["images"])
    assert (sample["labels"] != -100).any()
    # Behind the first pair only whole pairs are kept.
    assert length_of(sample) <= lengths[0] or ids[-1] == END_OF_TURN


def test_prompts_are_refused_and_never_shortened(picture: Picture, lengths: list[int]) -> None:
    made = processor(lengths[1])
    images = [made.prepare_image(picture(*size)) for size in SIZES]
    with pytest.raises(InputError, match=r"tokens with its images expanded; expected at most"):
        made.encode_prompt("r#1", DIALOGUE, images)


def test_refusing_is_the_default_and_says_how_long(picture: Picture, lengths: list[int]) -> None:
    made = PMCCambrianProcessor(preset("tiny"), max_length=lengths[2] - 1)
    with pytest.raises(InputError, match=rf"sample r#1: {lengths[2]} tokens.*{lengths[2] - 1}"):
        encode(made, picture, DIALOGUE)
