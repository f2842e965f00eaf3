"""What a sample looks like to PMC-Cambrian: the `Processor` of training, evaluation and chat."""

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL.Image import Image
from transformers import PreTrainedTokenizerBase

from semihvision.core.batch import Batch, EncodedSample, TowerPixels, Turn
from semihvision.core.errors import InputError
from semihvision.core.files import write_text_atomically

from .configuration import PMCCambrianConfig
from .padding import kept_grid
from .preprocessing import to_rgb, tower_pixels
from .presets import preset
from .template import ConversationTemplate, EncodedTurns
from .tokenizer import load_tokenizer

SETTINGS_FILE = "processing.json"
"""Settings of the processor beside a model's weights."""


class PMCCambrianProcessor:
    """Images to pixels, conversations to token ids, samples to batches.

    Args:
        config: The model that reads the samples.
        tokenizer: A tokenizer with Llama-3's special tokens; ``None`` for the configuration's.
        system_prompt: System text for conversations that bring none; empty for no system turn.
        max_length: Longest allowed sequence in tokens, images expanded; ``None`` for the model's.
            A longer sample is refused, never cut.
    """

    def __init__(
        self,
        config: PMCCambrianConfig,
        *,
        tokenizer: PreTrainedTokenizerBase | None = None,
        system_prompt: str = "",
        max_length: int | None = None,
    ) -> None:
        self.config = config
        self.max_length = config.max_sequence_length if max_length is None else max_length
        self.tokenizer = tokenizer or load_tokenizer(config.tokenizer)
        self.template = ConversationTemplate(
            self.tokenizer,
            system_prompt=system_prompt,
            image_token_id=config.image_token_id,
            ignore_index=config.ignore_index,
        )
        self._towers = config.tower_specs

    @classmethod
    def from_preset(
        cls, name: str, *, system_prompt: str = "", max_length: int | None = None
    ) -> "PMCCambrianProcessor":
        """The processor of a preset.

        Args:
            name: ``tiny`` or ``8b``.
            system_prompt: As in the class.
            max_length: As in the class.
        """
        return cls(preset(name), system_prompt=system_prompt, max_length=max_length)

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> "PMCCambrianProcessor":
        """The processor of a model folder that `save_pretrained` wrote.

        Args:
            folder: Holds the model's ``config.json``, the tokenizer and the settings.

        Raises:
            InputError: Settings, configuration or tokenizer are missing or not what was written.
        """
        path = Path(folder) / SETTINGS_FILE
        try:
            settings = json.loads(path.read_text(encoding="utf-8"))
            system_prompt, max_length = str(settings["system_prompt"]), int(settings["max_length"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{path}: {type(error).__name__} while reading the processor's settings; expected "
                "a model folder as training writes it"
            ) from None
        return cls(
            PMCCambrianConfig.from_folder(folder),
            tokenizer=load_tokenizer(str(folder)),
            system_prompt=system_prompt,
            max_length=max_length,
        )

    def save_pretrained(self, folder: str | Path) -> None:
        """Writes tokenizer and settings into a model folder.

        Args:
            folder: The folder; made if it is not there.
        """
        self.tokenizer.save_pretrained(folder)
        settings = {"system_prompt": self.template.system_prompt, "max_length": self.max_length}
        text = json.dumps(settings, indent=2, ensure_ascii=False) + "\n"
        write_text_atomically(Path(folder) / SETTINGS_FILE, text)

    def prepare_image(self, image: Image) -> TowerPixels:
        """Pads, resizes and normalises one image for every tower.

        Args:
            image: 8-bit image of any size and mode.

        Raises:
            InputError: More than 8 bits, or so long and thin that no image token would be left.
        """
        width, height = image.size
        side = self.config.image_side
        if min(width, height) < 1 or 0 in kept_grid(width, height, side):
            raise InputError(
                f"image of {width}x{height} pixels covers no cell of the {side}x{side} image "
                f"grid; expected an aspect ratio of at most {side}: crop it"
            )
        try:
            rgb = to_rgb(image)
        except ValueError as error:
            raise InputError(str(error)) from None
        pixels = tuple(tower_pixels(rgb, spec) for spec in self._towers)
        return TowerPixels(pixels=pixels, size_wh=(width, height))

    def encode(
        self, example_id: str, turns: Sequence[Turn], images: Sequence[TowerPixels]
    ) -> EncodedSample:
        """Tokenises a conversation; labels cover assistant turns and their ``<|eot_id|>`` only.

        Args:
            example_id: Names the sample in messages.
            turns: Human and gpt turns in turn, optionally a system turn first.
            images: One per placeholder, in order.

        Raises:
            InputError: Roles out of order, placeholders and images differ in number, or the
                expanded sample is longer than ``max_length``.
        """
        return self._encode(example_id, turns, images, add_generation_prompt=False)

    def encode_prompt(
        self, example_id: str, turns: Sequence[Turn], images: Sequence[TowerPixels]
    ) -> EncodedSample:
        """Tokenises the turns up to and including the last human one, plus the assistant header.

        Args:
            example_id: Names the sample in messages.
            turns: Human and gpt turns in turn, optionally a system turn first.
            images: One per placeholder, in order.

        Raises:
            InputError: As in `encode`.
        """
        prompt = list(turns)
        while prompt and prompt[-1].role == "gpt":
            prompt.pop()
        return self._encode(example_id, prompt, images, add_generation_prompt=True)

    def _encode(
        self,
        example_id: str,
        turns: Sequence[Turn],
        images: Sequence[TowerPixels],
        *,
        add_generation_prompt: bool,
    ) -> EncodedSample:
        try:
            encoded = self.template.encode(turns, add_generation_prompt=add_generation_prompt)
        except ValueError as error:
            raise InputError(f"sample {example_id}: {error}") from None
        sizes = [image.size_wh for image in images]
        self._check(example_id, encoded, sizes)
        return EncodedSample(
            example_id=example_id,
            input_ids=torch.tensor(encoded.input_ids),
            labels=torch.tensor(encoded.labels),
            images=list(images),
        )

    def check(
        self, example_id: str, turns: Sequence[Turn], sizes_wh: Sequence[tuple[int, int]]
    ) -> None:
        """Whether `encode` would take a sample, told from the sizes of its images alone.

        Args:
            example_id: Names the sample in messages.
            turns: Human and gpt turns in turn, optionally a system turn first.
            sizes_wh: Width and height of its images in pixels.

        Raises:
            InputError: As in `encode`.
        """
        try:
            encoded = self.template.encode(turns, add_generation_prompt=False)
        except ValueError as error:
            raise InputError(f"sample {example_id}: {error}") from None
        self._check(example_id, encoded, sizes_wh)

    def _check(
        self, example_id: str, encoded: EncodedTurns, sizes_wh: Sequence[tuple[int, int]]
    ) -> None:
        num_placeholders = encoded.input_ids.count(self.config.image_token_id)
        if num_placeholders != len(sizes_wh):
            raise InputError(
                f"sample {example_id}: {num_placeholders} <image> placeholders but "
                f"{len(sizes_wh)} images; expected one image per placeholder"
            )
        length = self.expanded_length(len(encoded.input_ids), sizes_wh)
        if length > self.max_length:
            raise InputError(
                f"sample {example_id}: {length} tokens with its images expanded; expected at most "
                f"{self.max_length}: shorten its text or raise max_length"
            )

    def expanded_length(self, num_tokens: int, sizes_wh: Sequence[tuple[int, int]]) -> int:
        """Length of a sample once its images are expanded.

        Args:
            num_tokens: Tokens with one placeholder per image.
            sizes_wh: Original width and height of its images in pixels.
        """
        side = self.config.image_side
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
        length = max(len(sample["input_ids"]) for sample in samples)
        shape = (len(samples), length)
        ignore = self.config.ignore_index
        input_ids = torch.full(shape, self.config.text_config.pad_token_id)
        labels = torch.full(shape, ignore)
        attention_mask = torch.zeros(shape, dtype=torch.bool)
        for i, sample in enumerate(samples):
            size = len(sample["input_ids"])
            input_ids[i, :size] = sample["input_ids"]
            labels[i, :size] = sample["labels"]
            attention_mask[i, :size] = True
        images = [image for sample in samples for image in sample["images"]]
        batch = Batch(
            example_ids=[sample["example_id"] for sample in samples],
            input_ids=input_ids,
            attention_mask=attention_mask,
            pixel_values=[
                torch.stack(tower) for tower in zip(*(i.pixels for i in images), strict=True)
            ],
            image_sizes_wh=torch.tensor([i.size_wh for i in images]).reshape(-1, 2).long(),
        )
        if bool((labels != ignore).any()):
            batch["labels"] = labels
        return batch

    def decode(self, token_ids: Sequence[int]) -> str:
        """Text of generated ids, special tokens removed, outer blanks stripped."""
        return str(self.tokenizer.decode(list(token_ids), skip_special_tokens=True)).strip()
