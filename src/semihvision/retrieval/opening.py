"""Opening an index: the searchable form of its tables, and the embedders of its queries."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple, cast

from semihvision.core.errors import InputError
from semihvision.retrieval.embedders import (
    Embedder,
    FittedEmbedder,
    ImageEmbedder,
    TextEmbedder,
    create_embedder,
)
from semihvision.retrieval.folder import TEXT_STATE, IndexMeta, Table
from semihvision.retrieval.index import HnswIndex
from semihvision.retrieval.vectors import ExactIndex, VectorIndex

Backend = Literal["hnswlib", "exact"]
BACKENDS: tuple[Backend, ...] = ("hnswlib", "exact")


class Embedders(NamedTuple):
    """What turns queries into vectors; None where the index holds no vectors of the modality."""

    text: TextEmbedder | None
    image: ImageEmbedder | None


def open_indexes(
    folder: Path, meta: IndexMeta, tables: Sequence[Table], backend: Backend
) -> dict[str, VectorIndex]:
    """The searchable form of each table, by its name.

    Raises:
        InputError: A graph that is not intact.
    """
    indexes: dict[str, VectorIndex] = {}
    for table in tables:
        if backend == "exact":
            indexes[table.name] = ExactIndex(table.vectors)
        else:
            path = folder / f"{table.name}.hnsw"
            indexes[table.name] = HnswIndex.load(path, table.vectors, meta.settings)
    return indexes


def open_embedders(
    folder: Path, meta: IndexMeta, *, text: TextEmbedder | None, image: ImageEmbedder | None
) -> Embedders:
    """The embedders that the index was built with; one that is given is not loaded again.

    Raises:
        InputError: Another embedder than at build.
    """
    named = {name: str(says["name"]) for name, says in meta.embedders.items()}
    given: dict[str, Embedder | None] = {"text": text, "image": image}
    loaded: dict[str, Embedder] = {}
    for modality, name in named.items():
        made = given[modality] or loaded.get(name) or _restored(name, folder)
        _check_embedder(made, meta.embedders[modality], folder)
        given[modality] = loaded[name] = made
    return Embedders(
        text=cast("TextEmbedder | None", given["text"] if "text" in named else None),
        image=cast("ImageEmbedder | None", given["image"] if "image" in named else None),
    )


def _restored(name: str, folder: Path) -> Embedder:
    made = create_embedder(name)
    if isinstance(made, FittedEmbedder):
        made.load(folder / TEXT_STATE)
    return made


def _check_embedder(embedder: Embedder, says: dict[str, object], folder: Path) -> None:
    found = {"name": embedder.name, "version": embedder.version, "dimension": embedder.dimension}
    if found != says:
        raise InputError(
            f"{folder}: built with embedder {says}, opened with {found}; "
            "open it with the same embedder or build it again"
        )
