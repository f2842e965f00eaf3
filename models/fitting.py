"""Fitting a conversation into the longest allowed sequence without cutting an image.

A training sample that is too long is refused, or shortened where the setting says so:

1. Whole pairs of question and answer are left out from the end, with the images they hold, until
   the rest fits or one pair is left. What a dialogue says early does not lean on what comes later.
2. The last answer then loses its end, ``<|eot_id|>`` included: the model learns the answer as far
   as it goes and is not taught to stop there.

A question, a system text or an image is never cut; a sample whose first question and images leave
no room for one token of an answer is refused either way.

Source: our own. The official code cuts ids at the end, before and after the images are expanded,
which loses image tokens (cambrian.md sections 11 and 16).
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from semihvision.core.errors import InputError

from .template import ConversationTemplate, EncodedTurns, SpokenTurn

TooLong = Literal["refuse", "shorten"]


class FittedTurns(NamedTuple):
    """A conversation that fits.

    Attributes:
        encoded: Its token ids and labels.
        num_images: How many of its images are left, counted from the first.
        length: Its tokens with those images expanded.
        shortened: Whether anything was left out.
    """

    encoded: EncodedTurns
    num_images: int
    length: int
    shortened: bool


def fit_turns(
    template: ConversationTemplate,
    turns: Sequence[SpokenTurn],
    image_lengths: Sequence[int],
    *,
    max_length: int,
    too_long: TooLong,
    prompt: bool,
) -> FittedTurns:
    """Encodes a conversation that is not longer than allowed.

    Args:
        template: Encodes turns.
        turns: The conversation.
        image_lengths: Tokens of each of its images.
        max_length: Longest allowed sequence in tokens, images expanded.
        too_long: What to do with a longer one.
        prompt: End with the assistant's header instead of an answer.

    Raises:
        InputError: Turns and images differ in number, or the conversation is too long.
        ValueError: The template refuses the turns.
    """
    encoded = template.encode(turns, add_generation_prompt=prompt)
    num_placeholders = sum(turn.num_images for turn in turns)
    if num_placeholders != len(image_lengths):
        raise InputError(
            f"{num_placeholders} <image> placeholders but {len(image_lengths)} images; expected "
            "one image per placeholder"
        )
    length = _length(encoded, image_lengths)
    if length <= max_length:
        return FittedTurns(encoded, len(image_lengths), length, shortened=False)
    if too_long == "refuse":
        raise InputError(
            f"{length} tokens with its images expanded; expected at most {max_length}: shorten its "
            "text or raise max_length",
            kind="too_long",
        )
    return _shortened(template, turns, image_lengths, max_length)


def _length(encoded: EncodedTurns, image_lengths: Sequence[int]) -> int:
    return len(encoded.input_ids) - len(image_lengths) + sum(image_lengths)


def _shortened(
    template: ConversationTemplate,
    turns: Sequence[SpokenTurn],
    image_lengths: Sequence[int],
    max_length: int,
) -> FittedTurns:
    num_first = 3 if turns[0].role == "system" else 2
    rest = list(turns)
    while True:
        images = image_lengths[: sum(turn.num_images for turn in rest)]
        encoded = template.encode(rest, add_generation_prompt=False)
        length = _length(encoded, images)
        if length <= max_length:
            return FittedTurns(encoded, len(images), length, shortened=True)
        if len(rest) == num_first:
            break
        del rest[-2:]
    question = next(i for i, label in enumerate(encoded.labels) if label != template.ignore_index)
    excess = length - max_length
    if len(encoded.labels) - excess <= question:
        raise InputError(
            f"{length} tokens in its first question, images and answer, and the question and "
            f"images alone leave no room for an answer within {max_length}: they are never cut; "
            "raise max_length",
            kind="too_long",
        )
    del encoded.input_ids[-excess:], encoded.labels[-excess:]
    return FittedTurns(encoded, len(images), max_length, shortened=True)
