"""What a sample looks like to PMC-Cambrian: the `Processor` of training, evaluation and chat."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL.Image import Image
from transformers import PreTrainedTokenizerBase

from semihvision.core.batch import Batch, EncodedSample, SampleFit, Segment, TowerPixels, Turn
from semihvision.core.errors import InputError

from .batching import collate_samples, expanded_length, pack_samples
from .configuration import PMCCambrianConfig
from .fitting import TooLong
from .fusion import ImageLayout
from .official_prompt import OfficialPrompt
from .preprocessing import Preprocessing, check_size, checked_path, to_rgb, tower_pixels
from .presets import preset
from .processor_settings import settings_for_use, write_settings
from .sample_fit import SampleFitter, asked
from .template import ConversationTemplate, SpokenTurn, TemplateStyle
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
        """The processor of a preset, ``tiny`` or ``8b``, with settings of the class."""
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
        settings = settings_for_use(
            folder, system_prompt=system_prompt, other_prompt=other_prompt, max_length=max_length
        )
        config = PMCCambrianConfig.from_folder(folder)
        made = cls(config, tokenizer=load_tokenizer(str(folder)), **settings)
        made.check_official()
        return made

    def check_official(self) -> None:
        """Raises an InputError unless the prompt is the official checkpoint's, if there is one."""
        if self.official is not None:
            self.official.check(self.template)

    def save_pretrained(self, folder: str | Path) -> None:
        """Writes tokenizer and settings into a model folder, made if it is not there."""
        self.tokenizer.save_pretrained(folder)
        write_settings(
            folder,
            system_prompt=self.template.system_prompt,
            template=self.template.style,
            max_length=self.max_length,
            preprocessing=self.preprocessing,
            official=self.official,
        )

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
        return self._fitter.encode(example_id, turns, images)

    def encode_prompt(
        self, example_id: str, turns: Sequence[Turn], images: Sequence[TowerPixels]
    ) -> EncodedSample:
        """Tokenises the turns up to and including the last human one, plus the assistant header.

        Args and errors are those of `encode`; a prompt is never shortened.
        """
        return self.encode_spoken_prompt(example_id, asked(example_id, turns), images)

    def encode_spoken_prompt(
        self, example_id: str, turns: Sequence[SpokenTurn], images: Sequence[TowerPixels]
    ) -> EncodedSample:
        """Like `encode_prompt`; the text of its turns, the last human, holds no placeholders."""
        return self._fitter.encode_prompt(example_id, turns, images)

    def check(
        self, example_id: str, turns: Sequence[Turn], sizes_wh: Sequence[tuple[int, int]]
    ) -> SampleFit:
        """Whether and how `encode` would take a sample, told from its image sizes alone.

        Args:
            example_id: Names the sample in messages.
            turns: As in `encode`.
            sizes_wh: Width and height of its images in pixels.

        Returns:
            Its length, images expanded, whether it was shortened to that, and how much of it other
            samples about the same images may share.

        Raises:
            InputError: As in `encode`.
        """
        return self._fitter.check(example_id, turns, sizes_wh)

    def check_prompt(
        self, example_id: str, turns: Sequence[Turn], sizes_wh: Sequence[tuple[int, int]]
    ) -> None:
        """Raises what `encode_prompt` would, told from image sizes as in `check`."""
        self._fitter.fit_prompt(example_id, asked(example_id, turns), sizes_wh)

    @property
    def _fitter(self) -> SampleFitter:
        return SampleFitter(
            template=self.template,
            expanded_length=self.expanded_length,
            image_token_id=self.config.image_token_id,
            max_length=self.max_length,
            too_long=self.too_long,
            official=self.official,
        )

    def expanded_length(self, num_tokens: int, sizes_wh: Sequence[tuple[int, int]]) -> int:
        """Length of a sample once its images, of these widths and heights, are expanded."""
        return expanded_length(num_tokens, sizes_wh, self.config.image_side, self.image_layout)

    def collate(self, samples: Sequence[EncodedSample]) -> Batch:
        """Pads samples, at least one, on the right to one batch; prompts get no labels."""
        return collate_samples(samples, self.config, self.image_layout)

    def pack(self, rows: Sequence[Sequence[Segment]], row_length: int | None = None) -> Batch:
        """Packs several samples into each row; errors are those of `models.batching.pack_samples`.

        Args:
            rows: For each row its segments, for each segment its samples: one alone, or several
                that have the same images and the same tokens through the last of them, which are
                then encoded once.
            row_length: Tokens of every row, images expanded, filled up with padding; ``None`` for
                those of the longest row.
        """
        return pack_samples(rows, self.config, self.image_layout, row_length)

    @property
    def stop_token_ids(self) -> list[int]:
        """Tokens that end an answer: end of turn, and end of text where the tokenizer has it."""
        vocabulary = self.tokenizer.get_vocab()
        return [vocabulary[token] for token in (END_OF_TURN, END_OF_TEXT) if token in vocabulary]

    def decode(self, token_ids: Sequence[int]) -> str:
        """Text of generated ids, special tokens removed, outer blanks stripped."""
        return str(self.tokenizer.decode(list(token_ids), skip_special_tokens=True)).strip()
