"""The processor of a model folder, as transformers' `AutoProcessor` loads it.

It is transformers' form of `PMCCambrianProcessor`, which does the work: one way to turn images and
conversations into model inputs, whatever program asks.
"""

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, cast

import torch
from PIL.Image import Image
from transformers import BatchFeature, PreTrainedTokenizerBase, ProcessorMixin
from transformers.utils.hub import cached_file

from models.processing import PMCCambrianProcessor
from models.processor_settings import SETTINGS_FILE
from semihvision.core.batch import IMAGE_PLACEHOLDER, EncodedSample, Turn
from semihvision.core.errors import InputError

_FILES = (
    SETTINGS_FILE,
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
)
_HUB_OPTIONS = ("cache_dir", "force_download", "local_files_only", "revision", "token")

_ROLES = {"system": "system", "user": "human", "assistant": "gpt"}

Message = Mapping[str, Any]
"""``{"role": ..., "content": ...}``; content is text with one ``<image>`` per image, or a list of
``{"type": "text", "text": ...}`` and ``{"type": "image", "image": PIL image}``."""


class PMCCambrianAutoProcessor(ProcessorMixin):
    """Images and conversations to what `PMCCambrian`'s ``forward`` and ``generate`` take.

    Args:
        tokenizer: Tokenizer of the model folder.
        model_inputs: Our processor, which makes the model inputs.
        chat_template: Jinja text of `models.export.chat_template`, for rendering only.
    """

    auto_map: dict[str, str]

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        model_inputs: PMCCambrianProcessor,
        chat_template: str | None = None,
    ) -> None:
        super().__init__(  # type: ignore[no-untyped-call]
            tokenizer, chat_template=chat_template
        )
        self.model_inputs = model_inputs

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls, pretrained_model_name_or_path: str | PathLike[str], **kwargs: Any
    ) -> "PMCCambrianAutoProcessor":
        """The processor of a folder that `semihvision convert to-hf` wrote.

        Args:
            pretrained_model_name_or_path: The folder, or its name on a hub.
            **kwargs: Where and how to look on a hub; see transformers' `cached_file`.

        Raises:
            InputError: Settings, configuration or tokenizer are missing or damaged.
        """
        folder = _local_folder(pretrained_model_name_or_path, kwargs)
        made = PMCCambrianProcessor.from_pretrained(folder)
        return cls(made.tokenizer, made, chat_template=made.tokenizer.chat_template)

    def to_dict(self) -> dict[str, Any]:
        """Fields of ``processor_config.json``: only the class, all settings are in other files."""
        code = {"auto_map": self.auto_map} if hasattr(self, "auto_map") else {}
        return {"processor_class": type(self).__name__, **code}

    def save_pretrained(  # type: ignore[override]
        self, save_directory: str | PathLike[str], **kwargs: Any
    ) -> Any:
        """Writes tokenizer, settings, template and ``processor_config.json``.

        Args:
            save_directory: Folder that holds, or will hold, the model's configuration.
            **kwargs: See transformers.
        """
        self.model_inputs.save_pretrained(Path(save_directory))
        return super().save_pretrained(str(save_directory), **kwargs)

    @property
    def model_input_names(self) -> list[str]:
        """Names of the tensors that the model takes."""
        return ["input_ids", "attention_mask", "pixel_values", "image_sizes_wh"]

    def apply_chat_template(  # type: ignore[override]
        self,
        conversation: Sequence[Message] | Sequence[Sequence[Message]],
        *,
        add_generation_prompt: bool = False,
        tokenize: bool = False,
        **kwargs: Any,
    ) -> Any:
        """A prompt as text, or model inputs for one conversation or several.

        Args:
            conversation: Messages with images as PIL images, or a list of such conversations.
            add_generation_prompt: End with the assistant's header, for `generate`.
            tokenize: Return model inputs instead of text. They do not come from the rendered text,
                so that what a user types stays text even where it spells a special token.
            **kwargs: For text, see transformers; model inputs know ``return_dict=True`` and
                ``return_tensors="pt"`` only, which are what they are.

        Returns:
            Text (a list for several conversations), or tensors on the CPU; with ``labels`` where no
            generation prompt is asked for.

        Raises:
            InputError: Roles out of order, an image that is no PIL image, or too long a sample.
        """
        if not tokenize:
            return super().apply_chat_template(
                conversation,  # type: ignore[arg-type]
                add_generation_prompt=add_generation_prompt,
                tokenize=False,
                **kwargs,
            )
        _require(kwargs, {"return_dict": True, "return_tensors": "pt"})
        single = not conversation or isinstance(conversation[0], Mapping)
        conversations = cast(Any, [conversation] if single else conversation)
        samples = [
            self._encode(i, messages, add_generation_prompt)
            for i, messages in enumerate(conversations)
        ]
        return self._inputs(samples)

    def __call__(
        self,
        images: Image | Sequence[Image] | None = None,
        text: str | Sequence[str] | None = None,
        **kwargs: Any,
    ) -> BatchFeature:
        """Model inputs for rendered prompts.

        Args:
            images: All images, in the order of the ``<image>`` placeholders of all texts.
            text: One prompt of `apply_chat_template` or several.
            **kwargs: ``return_tensors="pt"`` and ``padding=True`` only, which are what they are.

        Raises:
            InputError: A text is not rendered, or placeholders and images differ in number.
        """
        _require(kwargs, {"return_tensors": "pt", "padding": True, "add_special_tokens": False})
        texts = [text] if isinstance(text, str) else list(text or ())
        pictures = [images] if isinstance(images, Image) else list(images or ())
        num_placeholders = sum(one.count(IMAGE_PLACEHOLDER) for one in texts)
        if num_placeholders != len(pictures):
            raise InputError(
                f"{num_placeholders} {IMAGE_PLACEHOLDER} placeholders but {len(pictures)} images; "
                "expected one image per placeholder"
            )
        waiting = iter(pictures)
        samples = []
        for i, one in enumerate(texts):
            ids = self._rendered_ids(one)
            samples.append(
                EncodedSample(
                    example_id=f"text {i}",
                    input_ids=torch.tensor(ids),
                    labels=torch.full((len(ids),), self.model_inputs.config.ignore_index),
                    images=[
                        self.model_inputs.prepare_image(next(waiting))
                        for _ in range(one.count(IMAGE_PLACEHOLDER))
                    ],
                )
            )
        return self._inputs(samples)

    def _encode(
        self, number: int, messages: Sequence[Message], add_generation_prompt: bool
    ) -> EncodedSample:
        name = f"conversation {number}"
        turns, images = _turns(name, messages)
        if add_generation_prompt and turns[-1].role != "human":
            raise InputError(f"{name}: ends with {turns[-1].role}; expected a user's turn")
        prepared = [self.model_inputs.prepare_image(image) for image in images]
        encode = (
            self.model_inputs.encode_prompt if add_generation_prompt else self.model_inputs.encode
        )
        return encode(name, turns, prepared)

    def _rendered_ids(self, text: str) -> list[int]:
        begin = self.tokenizer.bos_token
        if not text.startswith(begin):
            raise InputError(
                f"a text that does not begin with {begin}; expected one that apply_chat_template "
                "made"
            )
        ids: list[int] = []
        for i, piece in enumerate(text.split(IMAGE_PLACEHOLDER)):
            ids += [self.model_inputs.config.image_token_id] * (i > 0)
            ids += self.tokenizer(piece, add_special_tokens=False)["input_ids"]
        return ids

    def _inputs(self, samples: Sequence[EncodedSample]) -> BatchFeature:
        batch: dict[str, Any] = dict(self.model_inputs.collate(samples))
        del batch["example_ids"]
        return BatchFeature(batch)


def _local_folder(name: str | PathLike[str], kwargs: dict[str, Any]) -> Path:
    """The folder itself, or where the files of one on a hub are kept."""
    if Path(name).is_dir():
        return Path(name)
    where = {key: kwargs[key] for key in _HUB_OPTIONS if key in kwargs}
    files = [cached_file(name, file, **where) for file in _FILES]
    return Path(str(files[0])).parent


def _turns(name: str, messages: Sequence[Message]) -> tuple[list[Turn], list[Image]]:
    """Turns with one ``<image>`` per image in front, and the images."""
    turns: list[Turn] = []
    images: list[Image] = []
    for message in messages:
        role, content = message["role"], message["content"]
        if role not in _ROLES:
            raise InputError(f"{name}: role {role!r}; expected one of {', '.join(_ROLES)}")
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        found: list[Any] = [part.get("image") for part in parts if part["type"] == "image"]
        if not all(isinstance(image, Image) for image in found):
            raise InputError(f"{name}: an image that is no PIL image; expected one, opened")
        unknown = {part["type"] for part in parts} - {"image", "text"}
        if unknown:
            raise InputError(f"{name}: content of type {sorted(unknown)}; expected image or text")
        words = "".join(part["text"] for part in parts if part["type"] == "text")
        turns.append(Turn(_ROLES[role], IMAGE_PLACEHOLDER * len(found) + words))  # type: ignore[arg-type]
        images += found
    if not turns:
        raise InputError(f"{name}: no messages; expected at least one")
    return turns, images


def _require(given: Mapping[str, Any], only: Mapping[str, Any]) -> None:
    """Refuses options that would silently change nothing."""
    wrong = {name: value for name, value in given.items() if only.get(name) != value}
    if wrong:
        allowed = ", ".join(f"{name}={value!r}" for name, value in only.items())
        raise InputError(f"options {sorted(wrong)}; expected none, or {allowed}")
