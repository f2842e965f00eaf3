"""The answerer for a model folder: PMC-Cambrian, greedy, in batches."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from evaluation.answerers import OnAnswer
from evaluation.predictions import Prediction
from evaluation.questions import Picture, Question
from models.configuration import PMCCambrianConfig
from models.modeling import PMCCambrian
from models.official_prompt import read_system_prompt
from models.processing import PMCCambrianProcessor
from semihvision.core.batch import Batch, EncodedSample, TowerPixels
from semihvision.core.errors import InputError
from semihvision.core.hashing import hash_path
from semihvision.core.json_files import read_json

_CACHE_BYTES = 1 << 30
"""Most memory for prepared images; one takes 0.5 MB with tiny towers and 15 MB with the 8B's."""


class LocalAnswerer:
    """Answers with a model in this process.

    Greedy decoding, so that answers depend on nothing but model, question and batch arithmetic.

    Args:
        model: The model; it is put into evaluation mode and stays on its device.
        processor: Its processor.
        model_hash: Identifies the weights, see `load`.
        batch_size: Questions per batch.
        max_new_tokens: Longest answer in tokens; a longer one is cut there.
    """

    def __init__(
        self,
        model: PMCCambrian,
        processor: PMCCambrianProcessor,
        *,
        model_hash: str,
        batch_size: int = 32,
        max_new_tokens: int = 64,
    ) -> None:
        model.train(mode=False)
        self._model = model
        self._processor = processor
        self._model_hash = model_hash
        self._batch_size = batch_size
        self._max_new_tokens = max_new_tokens
        self._prepared: dict[str, TowerPixels] = {}
        self._prepared_bytes = 0

    @classmethod
    def load(
        cls,
        folder: Path,
        *,
        system_prompt_file: str = "",
        other_prompt: bool = False,
        **settings: Any,
    ) -> "LocalAnswerer":
        """Loads a model folder, onto a GPU where there is one.

        Args:
            folder: As `fit` or `save_pretrained` wrote it.
            system_prompt_file: UTF-8 file with a system text in place of the folder's; empty for
                the folder's.
            other_prompt: Ask weights of an official checkpoint with another prompt than theirs.
            **settings: Those of the class.

        Raises:
            InputError: No such folder, not a model folder, or one whose files are damaged or do not
                belong together; an unusable system text, or not that of the official checkpoint.
        """
        _require_model_folder(folder)
        text = read_system_prompt(system_prompt_file) if system_prompt_file else None
        try:
            processor = PMCCambrianProcessor.from_pretrained(
                folder, system_prompt=text, other_prompt=other_prompt
            )
            model = PMCCambrian.from_pretrained(folder)
        except InputError:
            raise
        except (OSError, ValueError, TypeError, KeyError, RuntimeError, SafetensorError) as error:
            raise InputError(
                f"{folder}: this model folder cannot be loaded ({error}); "
                "expected one as `semihvision fit` writes it, complete and unchanged"
            ) from error
        model.to("cuda" if torch.cuda.is_available() else "cpu")
        return cls(model, processor, model_hash=hash_path(folder), **settings)

    @property
    def identity(self) -> Mapping[str, str | int | float]:
        """Hashes of the model folder and of the system text, and the length limit.

        The batch size is left out: answers do not depend on it.
        """
        text = self._processor.template.system_prompt
        return {
            "checkpoint_hash": self._model_hash,
            "system_prompt_hash": hashlib.sha256(text.encode()).hexdigest(),
            "max_new_tokens": self._max_new_tokens,
        }

    def answer(self, questions: Sequence[Question], on_answer: OnAnswer) -> None:
        """See `evaluation.answerers.Answerer`.

        Questions about one image are asked together, so that it is read and prepared once. An
        unreadable image and a prompt that is too long give an answer of None.
        """
        ordered = sorted(questions, key=lambda question: [p.key for p in question.pictures])
        for start in range(0, len(ordered), self._batch_size):
            samples: list[EncodedSample] = []
            for question in ordered[start : start + self._batch_size]:
                try:
                    samples.append(self._encode(question))
                except InputError as error:
                    on_answer(Prediction(id=question.id, answer=None, reason=str(error)))
            if samples:
                self._generate(self._processor.collate(samples), on_answer)

    def _encode(self, question: Question) -> EncodedSample:
        images = [self._prepare(picture) for picture in question.pictures]
        return self._processor.encode_prompt(question.id, question.turns, images)

    def _prepare(self, picture: Picture) -> TowerPixels:
        if picture.key not in self._prepared:
            made = self._processor.prepare_image(picture.read())
            self._prepared_bytes += _num_bytes(made)
            self._prepared[picture.key] = made
            while self._prepared_bytes > _CACHE_BYTES and len(self._prepared) > 1:
                oldest = next(iter(self._prepared))
                self._prepared_bytes -= _num_bytes(self._prepared.pop(oldest))
        return self._prepared[picture.key]

    def _generate(self, batch: Batch, on_answer: OnAnswer) -> None:
        device = self._model.device
        generated = self._model.generate(
            batch["input_ids"].to(device),
            batch["attention_mask"].to(device),
            # In float32: every tower rounds to its own dtype, which need not be the model's.
            [pixels.to(device) for pixels in batch["pixel_values"]],
            batch["image_sizes_wh"],
            max_new_tokens=self._max_new_tokens,
            do_sample=False,
        )
        stops = _stop_ids(self._model)
        for question_id, row in zip(batch["example_ids"], generated.tolist(), strict=True):
            end = next((i for i, token in enumerate(row) if token in stops), len(row) - 1) + 1
            text = self._processor.decode(row[:end])
            on_answer(Prediction(id=question_id, answer=text, num_tokens=end))


def _require_model_folder(folder: Path) -> None:
    """Checks whose configuration it is: loading a foreign one would build a model of 8B weights."""
    config = folder / "config.json"
    if not config.is_file():
        raise InputError(
            f"{folder}: no model folder (config.json is missing); `semihvision fit` writes one"
        )
    found = read_json(config)
    kind = found.get("model_type") if isinstance(found, dict) else None
    if kind != PMCCambrianConfig.model_type:
        raise InputError(
            f"{config}: model_type is {kind!r}, expected {PMCCambrianConfig.model_type!r}; other "
            "models are asked through an endpoint (llm and base_url)"
        )


def _num_bytes(prepared: TowerPixels) -> int:
    return sum(tensor.nbytes for tensor in prepared.pixels)


def _stop_ids(model: PMCCambrian) -> set[int]:
    ids = model.generation_config.eos_token_id
    return set(ids) if isinstance(ids, list) else {ids}
