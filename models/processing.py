"""What a sample looks like to PMC-Cambrian: the `Processor` of training, evaluation and chat."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from PIL.Image import Image
from transformers import PreTrainedTokenizerBase

from semihvision.core.batch import Batch, EncodedSample, SampleFit, Segment, TowerPixels, Turn
from semihvision.core.errors import InputError
from semihvision.core.files import write_text_atomically

from .configuration import PMCCambrianConfig
from .fitting import FittedTurns, TooLong, fit_turns
from .fusion import ImageLayout
from .official_prompt import OfficialPrompt
from .packing import pack_rows, pad_samples, sharable_prefix
from .padding import kept_grid
from .preprocessing import Preprocessing, check_size, checked_path, to_rgb, tower_pixels
from .presets import preset
from .processor_settings import SETTINGS_FILE, read_settings
from .template import ConversationTemplate, SpokenTurn, TemplateStyle, spoken_turns
from .tokenizer import END_OF_TEXT, END_OF_TURN, load_tokenizer


class PMCCambrianProcessor:
    """Images to pixels, conversations to token ids, samples to batches.

    Args:
        config: The model that reads the samples.
        tokenizer: A tokenizer with Llama-3's special tokens; ``None`` for the configuration's.
        system_prompt: System text for conversations that bring none; empty for no system turn.
        max_length: Longest allowed sequence in tokens, images expanded; ``None`` for the model's.
        template: Style of the conversation template, see `models.template`.
        too_long: What becomes of a longer training sample, see `models.fitting`; prompts are never
            shortened. Not part of the prompt format, so model folders do not hold it.
        official: What the prompt of an official checkpoint must be, or its fields as a mapping;
            ``None`` for own weights. The first image of every sample is checked to stand where it
            says.
        preprocessing: ``reference``, bit-equal to the published steps, or ``fast``, at most 2 of
            255 grey levels off; see `models.preprocessing`.
        image_layout: ``unpadded``: an image takes the tokens it covers; ``fixed``: always S·(S+1),
            those it does not cover masked, as the official training has it. Counts wherever
            batches have labels; prompts are always unpadded.

    Raises:
        InputError: An unknown ``preprocessing`` or ``template``.
    """

    def __init__(
        self,
        config: PMCCambrianConfig,
        *,
        tokenizer: PreTrainedTokenizerBase | None = None,
        system_prompt: str = "",
        max_length: int | None = None,
        template: TemplateStyle = "cambrian",
        too_long: TooLong = "refuse",
        official: OfficialPrompt | Mapping[str, Any] | None = None,
        preprocessing: Preprocessing = "reference",
        image_layout: ImageLayout = "unpadded",
    ) -> None:
        self.config = config
        self.image_layout = image_layout
        self.preprocessing = checked_path(preprocessing)
        self.max_length = config.max_sequence_length if max_length is None else max_length
        self.tokenizer = tokenizer or load_tokenizer(config.tokenizer)
        self.too_long: TooLong = too_long
        self.official = OfficialPrompt(**official) if isinstance(official, Mapping) else official
        try:
            self.template = ConversationTemplate(
                self.tokenizer,
                system_prompt=system_prompt,
                style=template,
                image_token_id=config.image_token_id,
                ignore_index=config.ignore_index,
            )
        except ValueError as error:
            raise InputError(str(error)) from None
        self._towers = config.tower_specs

    @classmethod
    def from_preset(cls, name: str, **settings: Any) -> "PMCCambrianProcessor":
        """The processor of a preset.

        Args:
            name: ``tiny`` or ``8b``.
            **settings: Those of the class.
        """
        return cls(preset(name), **settings)

    @classmethod
    def from_pretrained(
        cls,
        folder: str | Path,
        *,
        system_prompt: str | None = None,
        other_prompt: bool = False,
        max_length: int | None = None,
    ) -> "PMCCambrianProcessor":
        """The processor of a model folder that `save_pretrained` wrote.

        Args:
            folder: Holds the model's ``config.json``, the tokenizer and the settings.
            system_prompt: System text in place of the folder's; ``None`` for the folder's.
            other_prompt: Weights of an official checkpoint are meant to be used with another
                prompt than theirs: do not check it.
            max_length: Longest sequence in tokens in place of the folder's, images expanded; at
                most the decoder's ``max_position_embeddings``. ``None`` for the folder's.

        Raises:
            InputError: Settings, configuration or tokenizer are missing or not what was written,
                or the prompt is not that of the official checkpoint that the weights come from, or
                ``max_length`` is out of range.
        """
        settings = read_settings(folder)
        config = PMCCambrianConfig.from_folder(folder)
        if other_prompt:
            settings["official"] = None
        if system_prompt is not None:
            settings["system_prompt"] = system_prompt
        if max_length is not None:
            limit = config.text_config.max_position_embeddings
            if not 1 <= max_length <= limit:
                raise InputError(
                    f"max_length {max_length}: expected 1 to {limit}, the positions that this "
                    "model knows"
                )
            settings["max_length"] = max_length
        made = cls(config, tokenizer=load_tokenizer(str(folder)), **settings)
        made.check_official()
        return made

    def check_official(self) -> None:
        """Checks system text, template and tokenizer against the official checkpoint's, if any.

        Raises:
            InputError: They are others.
        """
        if self.official is not None:
            self.official.check(self.template)

    def save_pretrained(self, folder: str | Path) -> None:
        """Writes tokenizer and settings into a model folder.

        Args:
            folder: The folder; made if it is not there.
        """
        self.tokenizer.save_pretrained(folder)
        settings: dict[str, Any] = {
            "system_prompt": self.template.system_prompt,
            "template": self.template.style,
            "max_length": self.max_length,
            "preprocessing": self.preprocessing,
        }
        if self.official is not None:
            settings["official"] = asdict(self.official)
        text = json.dumps(settings, indent=2, ensure_ascii=False) + "\n"
        write_text_atomically(Path(folder) / SETTINGS_FILE, text)

    def prepare_image(self, image: Image) -> TowerPixels:
        """Pads, resizes and normalises one image for every tower.

        Args:
            image: 8-bit image of any mode, one frame; sides of 1 to 20,000 pixels.

        Raises:
            InputError: More than 8 bits, several frames, undecodable or no pixels, too long a side,
                or so long and thin that no image token would be left.
        """
        check_size(*image.size, self.config.image_side)
        pixels = tower_pixels(to_rgb(image), self._towers, self.preprocessing)
        return TowerPixels(pixels=pixels, size_wh=image.size)

    def encode(
        self, example_id: str, turns: Sequence[Turn], images: Sequence[TowerPixels]
    ) -> EncodedSample:
        """Tokenises a conversation; labels cover assistant turns and their ``<|eot_id|>`` only.

        Args:
            example_id: Names the sample in messages.
            turns: Human and gpt turns in turn, optionally a system turn first.
            images: One per placeholder, in order.

        Raises:
            InputError: Roles out of order, a turn without text, placeholders and images differ in
                number, or the expanded sample is longer than ``max_length`` and is not to be
                shortened, or cannot be.
        """
        sizes = [image.size_wh for image in images]
        fitted = self._fit(example_id, turns, sizes)
        return self._sample(example_id, fitted, images[: fitted.num_images])

    def encode_prompt(
        self, example_id: str, turns: Sequence[Turn], images: Sequence[TowerPixels]
    ) -> EncodedSample:
        """Tokenises the turns up to and including the last human one, plus the assistant header.

        Args:
            example_id: Names the sample in messages.
            turns: Human and gpt turns in turn, optionally a system turn first.
            images: One per placeholder, in order.

        Raises:
            InputError: As in `encode`; a prompt is never shortened.
        """
        return self.encode_spoken_prompt(example_id, _asked(example_id, turns), images)

    def encode_spoken_prompt(
        self, example_id: str, turns: Sequence[SpokenTurn], images: Sequence[TowerPixels]
    ) -> EncodedSample:
        """Like `encode_prompt`, for turns whose text is not searched for placeholders.

        Args:
            example_id: Names the prompt in messages.
            turns: Human and gpt turns in turn, optionally a system turn first; the last is human.
            images: As many as the turns name, in order.

        Raises:
            InputError: As in `encode_prompt`.
        """
        sizes = [image.size_wh for image in images]
        fitted = self._fit_spoken(example_id, turns, sizes, prompt=True)
        return self._sample(example_id, fitted, images)

    def check(
        self, example_id: str, turns: Sequence[Turn], sizes_wh: Sequence[tuple[int, int]]
    ) -> SampleFit:
        """Whether and how `encode` would take a sample, told from its image sizes alone.

        Args:
            example_id: Names the sample in messages.
            turns: Human and gpt turns in turn, optionally a system turn first.
            sizes_wh: Width and height of its images in pixels.

        Returns:
            Its length, images expanded, whether it was shortened to that, and how much of it other
            samples about the same images may share.

        Raises:
            InputError: As in `encode`.
        """
        fitted = self._fit(example_id, turns, sizes_wh)
        ids, labels = fitted.encoded.input_ids, fitted.encoded.labels
        prefix = sharable_prefix(
            ids,
            labels,
            image_token_id=self.config.image_token_id,
            ignore_index=self.config.ignore_index,
        )
        if prefix == 0 or fitted.shortened:
            return SampleFit(length=fitted.length, shortened=fitted.shortened)
        return SampleFit(
            length=fitted.length,
            shortened=False,
            shared_length=self.expanded_length(prefix, sizes_wh),
            shared_hash=hashlib.sha256(repr(ids[:prefix]).encode()).hexdigest(),
        )

    def check_prompt(
        self, example_id: str, turns: Sequence[Turn], sizes_wh: Sequence[tuple[int, int]]
    ) -> None:
        """Raises what `encode_prompt` would, told from the sizes of a sample's images alone.

        Args:
            example_id: Names the sample in messages.
            turns: Human and gpt turns in turn, optionally a system turn first.
            sizes_wh: Width and height of its images in pixels.

        Raises:
            InputError: As in `encode_prompt`.
        """
        self._fit_spoken(example_id, _asked(example_id, turns), sizes_wh, prompt=True)

    def _fit(
        self, example_id: str, turns: Sequence[Turn], sizes_wh: Sequence[tuple[int, int]]
    ) -> FittedTurns:
        spoken = _spoken(example_id, turns)
        return self._fit_spoken(example_id, spoken, sizes_wh, prompt=False)

    def _fit_spoken(
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
            position = fitted.encoded.input_ids.index(self.config.image_token_id)
            self.official.check_position(position, self.template.style)
        return fitted

    def _sample(
        self, example_id: str, fitted: FittedTurns, images: Sequence[TowerPixels]
    ) -> EncodedSample:
        return EncodedSample(
            example_id=example_id,
            input_ids=torch.tensor(fitted.encoded.input_ids),
            labels=torch.tensor(fitted.encoded.labels),
            images=list(images),
        )

    def expanded_length(self, num_tokens: int, sizes_wh: Sequence[tuple[int, int]]) -> int:
        """Length of a sample once its images are expanded.

        Args:
            num_tokens: Tokens with one placeholder per image.
            sizes_wh: Original width and height of its images in pixels.
        """
        side = self.config.image_side
        if self.image_layout == "fixed":
            return num_tokens + len(sizes_wh) * (side * (side + 1) - 1)
        grids = [kept_grid(width, height, side).num_tokens for width, height in sizes_wh]
        return num_tokens - len(grids) + sum(grids)

    def collate(self, samples: Sequence[EncodedSample]) -> Batch:
        """Pads samples on the right to one batch; prompts, which train nothing, get no labels.

        Args:
            samples: At least one.

        Raises:
            InputError: There is no sample.
        """
        if not samples:
            raise InputError("a batch of 0 samples; expected at least one")
        batch = pad_samples(
            samples,
            pad_token_id=self.config.text_config.pad_token_id,
            ignore_index=self.config.ignore_index,
        )
        if "labels" in batch:
            self._lay_out(batch)
        return batch

    def pack(self, rows: Sequence[Sequence[Segment]], row_length: int | None = None) -> Batch:
        """Packs several samples into each row.

        Args:
            rows: For each row its segments, for each segment its samples: one alone, or several
                that have the same images and the same tokens through the last of them, which are
                then encoded once.
            row_length: Tokens of every row, images expanded, filled up with padding; ``None`` for
                those of the longest row.

        Raises:
            InputError: There is no row, a row or segment is empty, samples cannot share their
                images, or a row is longer than ``row_length``.
        """
        if not rows or not all(row and all(row) for row in rows):
            raise InputError("packing takes at least one row, each of at least one sample")
        batch = pack_rows(
            rows,
            image_token_id=self.config.image_token_id,
            pad_token_id=self.config.text_config.pad_token_id,
            ignore_index=self.config.ignore_index,
        )
        if row_length is not None:
            self._check_row_lengths(batch, row_length)
            batch["row_length"] = row_length
        self._lay_out(batch)
        return batch

    def _lay_out(self, batch: Batch) -> None:
        if self.image_layout != "unpadded":
            batch["image_layout"] = self.image_layout

    def _check_row_lengths(self, batch: Batch, row_length: int) -> None:
        sizes = iter(batch["image_sizes_wh"].tolist())
        for i, (ids, mask) in enumerate(
            zip(batch["input_ids"], batch["attention_mask"], strict=True)
        ):
            num_images = int((ids == self.config.image_token_id).sum())
            images = [next(sizes) for _ in range(num_images)]
            length = self.expanded_length(int(mask.sum()), images)
            if length > row_length:
                raise InputError(
                    f"packed row {i} has {length} tokens with its images expanded; expected at "
                    f"most row_length {row_length}"
                )

    @property
    def stop_token_ids(self) -> list[int]:
        """Tokens that end an answer: end of turn, and end of text where the tokenizer has it."""
        vocabulary = self.tokenizer.get_vocab()
        return [vocabulary[token] for token in (END_OF_TURN, END_OF_TEXT) if token in vocabulary]

    def decode(self, token_ids: Sequence[int]) -> str:
        """Text of generated ids, special tokens removed, outer blanks stripped."""
        return str(self.tokenizer.decode(list(token_ids), skip_special_tokens=True)).strip()


def _spoken(example_id: str, turns: Sequence[Turn]) -> list[SpokenTurn]:
    try:
        return spoken_turns(turns)
    except ValueError as error:
        raise InputError(f"sample {example_id}: {error}") from None


def _asked(example_id: str, turns: Sequence[Turn]) -> list[SpokenTurn]:
    """The turns up to and including the last human one."""
    asked = list(turns)
    while asked and asked[-1].role == "gpt":
        asked.pop()
    return _spoken(example_id, asked)
