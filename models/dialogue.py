"""A dialogue with a model: questions and images in any order, the whole of it kept as context.

Every question reads the dialogue anew, images included: the prompt is what training would make of
the same turns, and no cache outlives its question.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from PIL.Image import Image
from transformers import PreTrainedTokenizerBase, TextStreamer

from semihvision.core.batch import TowerPixels
from semihvision.core.errors import InputError

from .modeling import PMCCambrian
from .processing import PMCCambrianProcessor
from .template import SpokenTurn

OnText = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Decoding:
    """How an answer is drawn.

    Attributes:
        max_new_tokens: Longest answer in tokens; a longer one ends there.
        temperature: 0 takes the likeliest token every time (greedy); above it tokens are drawn.
        top_p: Tokens are drawn from the likeliest ones that together have this probability.
        seed: Seed of the draws, set anew for every answer.
    """

    max_new_tokens: int = 512
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1:
            raise InputError(f"max_new_tokens is {self.max_new_tokens}; expected at least 1")
        if self.temperature < 0:
            raise InputError(f"temperature is {self.temperature}; expected 0 (greedy) or more")
        if not 0 < self.top_p <= 1:
            raise InputError(f"top_p is {self.top_p}; expected above 0 and at most 1")
        if self.temperature == 0 and self.top_p != 1:
            raise InputError("top_p was given with temperature 0, which draws nothing; raise it")

    def settings(self) -> dict[str, Any]:
        """Arguments of ``generate``."""
        drawn: dict[str, Any] = {"do_sample": False}
        if self.temperature > 0:
            # transformers cuts at the 50 likeliest tokens unless it is told otherwise.
            drawn = {"do_sample": True, "temperature": self.temperature, "top_k": 0}
            drawn["top_p"] = self.top_p
        return {"max_new_tokens": self.max_new_tokens, **drawn}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One answer.

    Attributes:
        text: Its text.
        num_tokens: Its tokens, the stop token included.
        prompt_tokens: Tokens of the dialogue it was asked in, images expanded.
        complete: Whether the model ended it; otherwise it reached ``max_new_tokens``.
    """

    text: str
    num_tokens: int
    prompt_tokens: int
    complete: bool


class Dialogue:
    """Turns so far, and the images of the question to come.

    Args:
        model: The model; it is put into evaluation mode and stays on its device.
        processor: Its processor.
        decoding: How answers are drawn.
    """

    def __init__(
        self, model: PMCCambrian, processor: PMCCambrianProcessor, decoding: Decoding
    ) -> None:
        model.train(mode=False)
        self._model = model
        self._processor = processor
        self._decoding = decoding
        self._turns: list[SpokenTurn] = []
        self._images: list[TowerPixels] = []
        self._waiting: list[TowerPixels] = []

    @property
    def num_turns(self) -> int:
        """Questions answered so far."""
        return len(self._turns) // 2

    def reset(self) -> None:
        """Forgets turns and images."""
        self._turns, self._images, self._waiting = [], [], []

    def attach(self, image: Image) -> None:
        """Adds an image to the next question.

        Args:
            image: 8-bit image.

        Raises:
            InputError: The processor refuses it.
        """
        self._waiting.append(self._processor.prepare_image(image))

    def ask(self, question: str, on_text: OnText | None = None) -> Answer:
        """Asks a question; text that spells ``<image>`` or a special token stays text.

        Args:
            question: The question.
            on_text: Called with pieces of the answer as they come.

        Raises:
            InputError: The question is empty, or the dialogue is too long with it. Turns and
                waiting images are then as they were before.
        """
        if not question.strip():
            raise InputError("the question is empty; expected text")
        turns = [*self._turns, SpokenTurn("human", question.strip(), len(self._waiting))]
        images = [*self._images, *self._waiting]
        prompt_tokens, generated = self._generate(turns, images, on_text)
        complete = generated[-1] in self._processor.stop_token_ids
        answer = Answer(
            text=self._processor.decode(generated),
            num_tokens=len(generated),
            prompt_tokens=prompt_tokens,
            complete=complete,
        )
        self._turns = [*turns, SpokenTurn("gpt", answer.text)]
        self._images, self._waiting = images, []
        return answer

    def _generate(
        self, turns: list[SpokenTurn], images: list[TowerPixels], on_text: OnText | None
    ) -> tuple[int, list[int]]:
        sample = self._processor.encode_spoken_prompt("dialogue", turns, images)
        length = self._processor.expanded_length(
            len(sample["input_ids"]), [image.size_wh for image in images]
        )
        self._refuse_beyond_positions(length)
        batch = self._processor.collate([sample])
        device = self._model.device
        streamer = None
        if on_text is not None:
            streamer = _CallbackStreamer(self._processor.tokenizer, on_text)
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(self._decoding.seed)
            generated = self._model.generate(
                batch["input_ids"].to(device),
                batch["attention_mask"].to(device),
                # In float32: every tower rounds to its own dtype, which need not be the model's.
                [pixels.to(device) for pixels in batch["pixel_values"]],
                batch["image_sizes_wh"],
                eos_token_id=self._processor.stop_token_ids,
                streamer=streamer,
                **self._decoding.settings(),
            )
        return length, generated[0].tolist()

    def _refuse_beyond_positions(self, length: int) -> None:
        limit = self._model.config.text_config.max_position_embeddings
        if length + self._decoding.max_new_tokens > limit:
            raise InputError(
                f"the dialogue has {length} tokens with its images expanded, and "
                f"{self._decoding.max_new_tokens} may follow (max_new_tokens); the model knows "
                f"{limit} positions: ask for fewer, or start anew"
            )


class _CallbackStreamer(TextStreamer):
    """Hands pieces of text on as soon as they are whole words, instead of printing them."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, on_text: OnText) -> None:
        super().__init__(tokenizer, skip_special_tokens=True)
        self._on_text = on_text

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        """Called by transformers with each piece."""
        if text:
            self._on_text(text)
