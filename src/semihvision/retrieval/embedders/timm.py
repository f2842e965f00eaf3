"""Image embedder: the pooled features of a timm network, by model name.

``timm:NAME`` is a name of timm's registry with its published weights, from the hub or the local
cache; ``timm:local-dir:FOLDER`` reads a folder written by `timm.models.save_for_hf`.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL.Image import Image

from semihvision.core.errors import InputError
from semihvision.retrieval.embedders import Vectors, unit_rows
from semihvision.retrieval.weights import weight_hash

USAGE = "timm:<model>"

_BATCH = 32


def create(argument: str) -> "TimmEmbedder":
    """Loads a model with its trained weights.

    Raises:
        InputError: timm knows no such model, or its weights are neither cached nor reachable.
    """
    import timm

    try:
        model = timm.create_model(argument, pretrained=True, num_classes=0)
    except (RuntimeError, ValueError, OSError) as error:
        raise InputError(f"embedder 'timm:{argument}': {error}") from error
    return TimmEmbedder(argument, model)


class TimmEmbedder:
    """A timm network without its classifier.

    Args:
        argument: Model name, for the embedder's own name.
        model: A timm model with `num_classes=0`; set to evaluation mode here.
    """

    def __init__(self, argument: str, model: Any) -> None:
        import torch
        from timm.data.config import resolve_model_data_config
        from timm.data.transforms_factory import create_transform

        self.name = f"timm:{argument}"
        self.version = weight_hash(model)
        self.dimension = int(model.num_features)
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._model = model.eval().to(self._device)
        config: dict[str, Any] = resolve_model_data_config(model)  # type: ignore[no-untyped-call]
        self._transform: Any = create_transform(**config, is_training=False)

    def embed_images(self, images: Sequence[Image]) -> Vectors:
        """(n, dimension) float32."""
        import torch

        rows = [np.zeros((0, self.dimension), np.float32)]
        for start in range(0, len(images), _BATCH):
            batch = images[start : start + _BATCH]
            pixels = torch.stack([self._transform(image.convert("RGB")) for image in batch])
            with torch.inference_mode():
                features = self._model(pixels.to(self._device))
            rows.append(features.float().cpu().numpy())
        return unit_rows(np.concatenate(rows))
