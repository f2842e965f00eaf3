"""Embedders: what turns texts and images into unit vectors, chosen by name.

An embedder is called ``<family>`` or ``<family>:<argument>``. A family is one file of this folder
with

    USAGE = "<family>:<argument>"            how its names look
    def create(argument: str) -> Embedder    the embedder of that name

and nothing else has to be edited to add one. Two stand-ins need no download, `lsa` for text and
`classical` for images; `timm` and `hf` bring trained networks.
"""

import pkgutil
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL.Image import Image

from semihvision.core.errors import InputError

Vectors = NDArray[np.float32]
"""(n, dimension) float32; each row has length 1, or is all zero where nothing can be said."""


@runtime_checkable
class Embedder(Protocol):
    """What every embedder says about itself.

    Attributes:
        name: The name it is created by; it goes into the index.
        version: Changes whenever the same input may get another vector: a number for a formula,
            a hash for weights. An index refuses an embedder of another version.
        dimension: Length of a vector; 0 before `FittedEmbedder.fit`.
    """

    name: str
    version: str
    dimension: int


@runtime_checkable
class TextEmbedder(Embedder, Protocol):
    """An embedder of texts."""

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        """One vector for each text."""
        ...


@runtime_checkable
class ImageEmbedder(Embedder, Protocol):
    """An embedder of images. One that also embeds texts puts both into the same space."""

    def embed_images(self, images: Sequence[Image]) -> Vectors:
        """One vector for each RGB image."""
        ...


@runtime_checkable
class FittedEmbedder(TextEmbedder, Protocol):
    """A text embedder that learns from the texts being indexed and is saved with the index."""

    def fit(self, texts: Sequence[str]) -> None:
        """Learns from a corpus."""
        ...

    def save(self, folder: Path) -> None:
        """Writes what was learnt to an empty folder, without pickle."""
        ...

    def load(self, folder: Path) -> None:
        """Reads what `save` wrote."""
        ...


def usages() -> list[str]:
    """How the names of all families look, e.g. ``["classical", "lsa", "timm:<model>"]``."""
    return [import_module(f"{__name__}.{family}").USAGE for family in _families()]


def create_embedder(name: str) -> Embedder:
    """The embedder of a name.

    Raises:
        InputError: No family has that name; the known ones are listed.
    """
    family, _, argument = name.partition(":")
    if family not in _families():
        raise InputError(f"unknown embedder {name!r}; known: {', '.join(usages())}")
    module = import_module(f"{__name__}.{family}")
    if (":" in module.USAGE) != bool(argument):
        raise InputError(f"embedder {name!r}: expected {module.USAGE}")
    return cast("Embedder", module.create(argument))


def create_text_embedder(name: str) -> TextEmbedder:
    """Like `create_embedder`, and refuses one that embeds no texts."""
    made = create_embedder(name)
    if not isinstance(made, TextEmbedder):
        raise InputError(f"embedder {name!r} embeds no texts; known: {', '.join(usages())}")
    return made


def create_image_embedder(name: str) -> ImageEmbedder:
    """Like `create_embedder`, and refuses one that embeds no images."""
    made = create_embedder(name)
    if not isinstance(made, ImageEmbedder):
        raise InputError(f"embedder {name!r} embeds no images; known: {', '.join(usages())}")
    return made


def unit_rows(rows: ArrayLike) -> Vectors:
    """Scales every row to length 1; an all-zero row stays zero, so its cosine with all is 0.

    Raises:
        InputError: A value is infinite or not a number, as broken weights give.
    """
    values: Vectors = np.asarray(rows, dtype=np.float32)
    if not np.isfinite(values).all():
        raise InputError("an embedder gave values that are not finite; check its weights")
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    unit = np.zeros_like(values)
    np.divide(values, lengths, out=unit, where=lengths > 0)
    return unit


def _families() -> list[str]:
    return sorted(module.name for module in pkgutil.iter_modules(__path__))
