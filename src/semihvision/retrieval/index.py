"""The approximate index: hnswlib behind `VectorIndex`. The only file that imports hnswlib.

hnswlib crashes the process when an index is used before it was initialised, forgets `ef` when an
index is saved, races when a label is added twice, and reads a file of another dimension without a
word (hnswlib issues 139, 205, 306). So an index is built once, by one thread, from all vectors,
never added to, and loaded only with the numbers it was saved with.
"""

import logging
import struct
from dataclasses import dataclass
from pathlib import Path

import hnswlib
import numpy as np

from semihvision.core.errors import InputError
from semihvision.retrieval.embedders import Vectors
from semihvision.retrieval.vectors import ExactIndex, Neighbours

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class HnswSettings:
    """How the graph is built and searched.

    Attributes:
        M: Links of a vector, 2..512. Memory is about 4 D + 10 M bytes a vector; vectors of
            several hundred dimensions want 48 to 64.
        ef_construction: Candidates kept while inserting, >= M.
        ef: Candidates kept while searching; raised to k where k is larger.
        seed: Of the levels of the graph; equal vectors, settings and seed give equal files.
    """

    M: int = 48
    ef_construction: int = 200
    ef: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        if not 2 <= self.M <= 512:
            raise InputError(f"M {self.M}: expected 2 to 512 links a vector")
        if self.ef_construction < self.M:
            raise InputError(f"ef_construction {self.ef_construction}: expected at least M")
        if self.ef < 1:
            raise InputError(f"ef {self.ef}: expected at least 1")
        if self.seed < 0:
            raise InputError(f"seed {self.seed}: expected 0 or more")


class HnswIndex:
    """An HNSW graph over unit vectors, with their inner product as score.

    Made by `build` or `load`. The vectors are kept beside the graph for the queries that the graph
    cannot answer completely.
    """

    def __init__(self, graph: hnswlib.Index, vectors: Vectors, settings: HnswSettings) -> None:
        self._graph = graph
        self._exact = ExactIndex(vectors)
        self._settings = settings

    @classmethod
    def build(cls, vectors: Vectors, settings: HnswSettings) -> "HnswIndex":
        """Builds the graph with one thread, since the order of insertion shapes it.

        Args:
            vectors: (n, D) unit rows, n >= 1.
            settings: Of the graph.
        """
        count, dimension = vectors.shape
        assert count
        graph = hnswlib.Index(space="ip", dim=dimension)
        graph.init_index(
            max_elements=count,
            M=settings.M,
            ef_construction=settings.ef_construction,
            random_seed=settings.seed,
        )
        graph.add_items(vectors, np.arange(count), num_threads=1)
        return cls(graph, vectors, settings)

    @classmethod
    def load(cls, path: Path, vectors: Vectors, settings: HnswSettings) -> "HnswIndex":
        """Reads a graph that `save` wrote.

        Args:
            path: The file.
            vectors: The vectors it was built from.
            settings: The settings it was built with.

        Raises:
            InputError: The file is no index, or one of other vectors.
        """
        found = _shape_in_header(path)
        if found != vectors.shape:
            raise InputError(
                f"{path}: (vectors, dimension) are {found}, expected {vectors.shape}; "
                "build the index again"
            )
        graph = hnswlib.Index(space="ip", dim=vectors.shape[1])
        try:
            graph.load_index(str(path))
        except RuntimeError as error:
            raise InputError(f"{path}: not an hnswlib index ({error}); build it again") from error
        return cls(graph, vectors, settings)

    def save(self, path: Path) -> None:
        """Writes the graph; the vectors are the caller's to save."""
        self._graph.save_index(str(path))

    def query(self, vectors: Vectors, k: int) -> Neighbours:
        """See `VectorIndex.query`. Equal scores come in row order."""
        self._graph.set_ef(max(self._settings.ef, k))
        try:
            rows, distances = self._graph.knn_query(vectors, k=k, num_threads=1)
        except RuntimeError:
            # Many equal vectors can cut the graph into parts, and then it reaches fewer than k.
            _log.warning("the graph reaches fewer than %d neighbours; searched exactly", k)
            return self._exact.query(vectors, k)
        scores = np.clip(1.0 - distances, -1.0, 1.0).astype(np.float32)
        order = np.lexsort((rows, -scores), axis=1)
        return Neighbours(
            np.take_along_axis(rows.astype(np.int64), order, axis=1),
            np.take_along_axis(scores, order, axis=1),
        )


def _shape_in_header(path: Path) -> tuple[int, int]:
    """(vectors, dimension) as the file itself says: hnswlib does not compare them.

    Source: `HierarchicalNSW::saveIndex`, hnswlib 0.8.0: six 8-byte numbers, of which the third is
    the count, and the last two are where an element's label and its float32 vector begin.
    """
    with path.open("rb") as file:
        head = file.read(48)
    if len(head) < 48:
        return (0, 0)
    _, _, count, _, label_offset, data_offset = struct.unpack("<6Q", head)
    return (count, (label_offset - data_offset) // 4)
