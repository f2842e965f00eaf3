"""Text encoders and CLIP-like text-and-image models of transformers, by hub name or folder.

A model with `get_text_features` and `get_image_features` (CLIP, SigLIP, ...) embeds both into one
space, so that a text finds images and the other way round. Any other model is used as a text
encoder: the mean of its last hidden states over the text's tokens.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL.Image import Image

from semihvision.core.errors import InputError
from semihvision.retrieval.embedders import Embedder, Vectors, unit_rows
from semihvision.retrieval.weights import weight_hash

USAGE = "hf:<model or folder>"

_BATCH = 32


def create(argument: str) -> Embedder:
    """Loads a model (safetensors only, no remote code) with its tokenizer and image processor.

    Raises:
        InputError: No such model, or it is neither cached nor reachable.
    """
    from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

    images: Any = AutoImageProcessor  # its from_pretrained carries no types
    try:
        model = AutoModel.from_pretrained(argument, use_safetensors=True)
        tokenizer = AutoTokenizer.from_pretrained(argument)
        if not hasattr(model, "get_image_features"):
            return HfTextEmbedder(argument, model, tokenizer)
        processor = images.from_pretrained(argument, use_fast=False)
    except (OSError, ValueError) as error:
        raise InputError(f"embedder 'hf:{argument}': {error}") from error
    return HfClipEmbedder(argument, model, tokenizer, processor)


class HfTextEmbedder:
    """A text encoder; what exceeds the model's longest input is not part of the vector.

    Args:
        argument: Hub name or folder, for the embedder's own name.
        model: A transformers encoder.
        tokenizer: Its tokenizer.
    """

    def __init__(self, argument: str, model: Any, tokenizer: Any) -> None:
        self.name = f"hf:{argument}"
        self.version = weight_hash(model)
        self.dimension = int(model.config.hidden_size)
        self._model = _ready(model)
        self._tokenizer = tokenizer

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        """(n, dimension) float32."""
        return _in_batches(texts, self._embed, self.dimension)

    def _embed(self, texts: Sequence[str]) -> Any:
        tokens = _tokens(self._tokenizer, texts, self._model)
        hidden = self._model(**tokens).last_hidden_state
        weights = tokens["attention_mask"][..., None].to(hidden.dtype)
        return (hidden * weights).sum(dim=1) / weights.sum(dim=1)


class HfClipEmbedder:
    """A CLIP-like model: texts and images in one space.

    Args:
        argument: Hub name or folder, for the embedder's own name.
        model: A model with `get_text_features` and `get_image_features`.
        tokenizer: Its tokenizer.
        processor: Its image processor.
    """

    def __init__(self, argument: str, model: Any, tokenizer: Any, processor: Any) -> None:
        self.name = f"hf:{argument}"
        self.version = weight_hash(model)
        self._model = _ready(model)
        self._tokenizer = tokenizer
        self._processor = processor
        self.dimension = 0
        self.dimension = self.embed_texts(["x"]).shape[1]

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        """(n, dimension) float32; what exceeds the longest input is not part of the vector."""
        return _in_batches(texts, self._embed_texts, self.dimension)

    def embed_images(self, images: Sequence[Image]) -> Vectors:
        """(n, dimension) float32."""
        return _in_batches(images, self._embed_images, self.dimension)

    def _embed_texts(self, texts: Sequence[str]) -> Any:
        tokens = _tokens(self._tokenizer, texts, self._model)
        return _pooled(self._model.get_text_features(**tokens))

    def _embed_images(self, images: Sequence[Image]) -> Any:
        pixels = self._processor([image.convert("RGB") for image in images], return_tensors="pt")
        return _pooled(self._model.get_image_features(**pixels.to(self._model.device)))


def _ready(model: Any) -> Any:
    import torch

    return model.eval().to("cuda" if torch.cuda.is_available() else "cpu")


def _tokens(tokenizer: Any, texts: Sequence[str], model: Any) -> Any:
    longest = getattr(model.config, "text_config", model.config).max_position_embeddings
    tokens = tokenizer(
        list(texts), padding=True, truncation=True, max_length=longest, return_tensors="pt"
    )
    return {name: tokens[name].to(model.device) for name in ("input_ids", "attention_mask")}


def _pooled(features: Any) -> Any:
    """The tensor itself: transformers 5 returns it inside an output object, 4 returned it bare."""
    return getattr(features, "pooler_output", features)


def _in_batches(items: Sequence[Any], embed: Any, dimension: int) -> Vectors:
    import torch

    if not items:
        return np.zeros((0, dimension), np.float32)
    rows = []
    for start in range(0, len(items), _BATCH):
        with torch.inference_mode():
            rows.append(embed(items[start : start + _BATCH]).float().cpu().numpy())
    return unit_rows(np.concatenate(rows))
