from typing import Any

import pytest

from data_modules.conversations import conversation_of, text_of
from semihvision.core.errors import InputError, RefusalLog


def made(*turns: tuple[str, str], images: int) -> Any:
    row = {"conversations": [{"from": role, "value": text} for role, text in turns]}
    ids = [f"image {n}" for n in range(1, images + 1)]
    refused = RefusalLog()
    return conversation_of(
        row, ids, item="row 0", file="x.json", refused=refused, provenance_id="owner"
    )


@pytest.mark.parametrize(
    ("first", "images", "shown"),
    [
        ("What?", 2, "<image>\n<image>\nWhat?"),
        ("What?\n<image>", 1, "What?\n<image>"),
        ("What?", 0, "What?"),
    ],
)
def test_images_are_shown_where_the_row_says_else_first(
    first: str, images: int, shown: str
) -> None:
    talk = made(("human", first), ("gpt", "That."), images=images)

    assert talk.turns[0].text == shown
    assert len(talk.image_ids) == images


@pytest.mark.parametrize(("first", "images"), [("<image>", 1), ("<image> a", 2), ("<image> a", 0)])
def test_turns_without_words_and_other_numbers_of_images_are_refused(
    first: str, images: int
) -> None:
    with pytest.raises(InputError):
        made(("human", first), ("gpt", "That."), images=images)


def test_texts_and_numbers_are_texts_and_nothing_else_is() -> None:
    assert [text_of(row, "a") for row in ({}, {"a": None}, {"a": " b "}, {"a": 7})] == [
        "", "", "b", "7",
    ]  # fmt: skip
    for value in (True, 1.5, ["x"], {"x": 1}):
        with pytest.raises(InputError, match=r"a: found .*, expected a text"):
            text_of({"a": value}, "a")
