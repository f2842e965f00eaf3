"""Conversations to token ids: whether and how a sample fits the longest allowed sequence."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from semihvision.core.batch import EncodedSample, SampleFit, TowerPixels, Turn
from semihvision.core.errors import InputError

from .fitting import FittedTurns, TooLong, fit_turns
from .official_prompt import OfficialPrompt
from .packing import sharable_prefix
from .template import ConversationTemplate, SpokenTurn, spoken_turns


@dataclass(frozen=True, kw_only=True)
class SampleFitter:
    """Encodes conversations that are not too long; errors name the sample.

    Attributes:
        template: Encodes turns.
        expanded_length: Tokens of a sample with its images expanded, from the number with one
            placeholder per image and the images' width and height in pixels.
        image_token_id: Placeholder of an image.
        max_length: Longest allowed sequence in tokens, images expanded.
        too_long: What becomes of a longer training sample.
        official: Holds the place of the first image to an official checkpoint's; ``None`` for own
            weights.
    """

    template: ConversationTemplate
    expanded_length: Callable[[int, Sequence[tuple[int, int]]], int]
    image_token_id: int
    max_length: int
    too_long: TooLong
    official: OfficialPrompt | None

    def fit(
        self, example_id: str, turns: Sequence[Turn], sizes_wh: Sequence[tuple[int, int]]
    ) -> FittedTurns:
        """A training sample, shortened where the setting says so.

        Args:
            example_id: Names the sample in messages.
            turns: Human and gpt turns in turn, optionally a system turn first.
            sizes_wh: Width and height of its images in pixels.

        Raises:
            InputError: Roles out of order, a turn without text, placeholders and images differ in
                number, or the sample is longer than ``max_length`` and is not to be shortened, or
                cannot be.
        """
        return self._fit(example_id, spoken(example_id, turns), sizes_wh, prompt=False)

    def encode(
        self, example_id: str, turns: Sequence[Turn], images: Sequence[TowerPixels]
    ) -> EncodedSample:
        """A training sample as tensors.

        Args:
            example_id: Names the sample in messages.
            turns: As in `fit`.
            images: One per placeholder, in order; those that are cut off are left out.

        Raises:
            InputError: As in `fit`.
        """
        fitted = self.fit(example_id, turns, [image.size_wh for image in images])
        return _tensors(example_id, fitted, images[: fitted.num_images])

    def encode_prompt(
        self, example_id: str, turns: Sequence[SpokenTurn], images: Sequence[TowerPixels]
    ) -> EncodedSample:
        """A prompt as tensors.

        Args:
            example_id: Names the prompt in messages.
            turns: As in `fit_prompt`.
            images: As many as the turns name, in order.

        Raises:
            InputError: As in `fit`.
        """
        fitted = self.fit_prompt(example_id, turns, [image.size_wh for image in images])
        return _tensors(example_id, fitted, images)

    def fit_prompt(
        self, example_id: str, turns: Sequence[SpokenTurn], sizes_wh: Sequence[tuple[int, int]]
    ) -> FittedTurns:
        """A prompt with the assistant's header at its end; it is never shortened.

        Args:
            example_id: Names the prompt in messages.
            turns: Human and gpt turns in turn, optionally a system turn first; the last is human.
            sizes_wh: Width and height of its images in pixels.

        Raises:
            InputError: As in `fit`.
        """
        return self._fit(example_id, turns, sizes_wh, prompt=True)

    def _fit(
        self,
        example_id: str,
        turns: Sequence[SpokenTurn],
        sizes_wh: Sequence[tuple[int, int]],
        *,
        prompt: bool,
    ) -> FittedTurns:
        try:
            fitted = fit_turns(
                self.template,
                turns,
                [self.expanded_length(1, [size]) for size in sizes_wh],
                max_length=self.max_length,
                too_long="refuse" if prompt else self.too_long,
                prompt=prompt,
            )
        except InputError as error:
            raise InputError(f"sample {example_id}: {error}", kind=error.kind) from None
        except ValueError as error:
            raise InputError(f"sample {example_id}: {error}") from None
        first_human = turns[1] if turns[0].role == "system" else turns[0]
        if self.official is not None and first_human.num_images:
            position = fitted.encoded.input_ids.index(self.image_token_id)
            self.official.check_position(position, self.template.style)
        return fitted

    def check(
        self, example_id: str, turns: Sequence[Turn], sizes_wh: Sequence[tuple[int, int]]
    ) -> SampleFit:
        """Length of a training sample, and how much of it others about its images may share.

        Args:
            example_id: Names the sample in messages.
            turns: As in `fit`.
            sizes_wh: As in `fit`.

        Raises:
            InputError: As in `fit`.
        """
        fitted = self.fit(example_id, turns, sizes_wh)
        ids = fitted.encoded.input_ids
        prefix = sharable_prefix(
            ids,
            fitted.encoded.labels,
            image_token_id=self.image_token_id,
            ignore_index=self.template.ignore_index,
        )
        if prefix == 0 or fitted.shortened:
            return SampleFit(length=fitted.length, shortened=fitted.shortened)
        return SampleFit(
            length=fitted.length,
            shortened=False,
            shared_length=self.expanded_length(prefix, sizes_wh),
            shared_hash=hashlib.sha256(repr(ids[:prefix]).encode()).hexdigest(),
        )


def _tensors(example_id: str, fitted: FittedTurns, images: Sequence[TowerPixels]) -> EncodedSample:
    return EncodedSample(
        example_id=example_id,
        input_ids=torch.tensor(fitted.encoded.input_ids),
        labels=torch.tensor(fitted.encoded.labels),
        images=list(images),
    )


def spoken(example_id: str, turns: Sequence[Turn]) -> list[SpokenTurn]:
    """Turns with their image placeholders told apart from their text.

    Args:
        example_id: Names the sample in messages.
        turns: Of a conversation.

    Raises:
        InputError: What the template refuses.
    """
    try:
        return spoken_turns(turns)
    except ValueError as error:
        raise InputError(f"sample {example_id}: {error}") from None


def asked(example_id: str, turns: Sequence[Turn]) -> list[SpokenTurn]:
    """The turns up to and including the last human one.

    Args:
        example_id: Names the sample in messages.
        turns: Of a conversation.

    Raises:
        InputError: As in `spoken`.
    """
    up_to = list(turns)
    while up_to and up_to[-1].role == "gpt":
        up_to.pop()
    return spoken(example_id, up_to)
