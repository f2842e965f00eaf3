"""Nearest neighbours among unit vectors: what an index answers, and the exact answer.

Legend: n indexed vectors, q queries, k neighbours, D dimension.
"""

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from semihvision.retrieval.embedders import Vectors

_CHUNK = 256


class Neighbours(NamedTuple):
    """Answer to q queries, best first.

    Attributes:
        rows: (q, k) int64, row numbers of the indexed vectors.
        scores: (q, k) float32, cosine in [-1, 1].
    """

    rows: NDArray[np.int64]
    scores: Vectors


class VectorIndex(Protocol):
    """Finished and read-only: nothing is added to an index after it was built."""

    def query(self, vectors: Vectors, k: int) -> Neighbours:
        """The k nearest of the n indexed vectors for each of q vectors, 1 <= k <= n."""
        ...


class ExactIndex:
    """Compares with every vector: the reference for the approximate index.

    Args:
        vectors: (n, D) unit rows.
    """

    def __init__(self, vectors: Vectors) -> None:
        self._vectors = vectors

    def query(self, vectors: Vectors, k: int) -> Neighbours:
        """See `VectorIndex.query`; equal scores come in row order."""
        assert 1 <= k <= len(self._vectors)
        rows = np.empty((len(vectors), k), np.int64)
        scores = np.empty((len(vectors), k), np.float32)
        for start in range(0, len(vectors), _CHUNK):
            part = slice(start, start + _CHUNK)
            cosines = vectors[part] @ self._vectors.T
            rows[part] = np.argsort(-cosines, axis=1, kind="stable")[:, :k]
            scores[part] = np.take_along_axis(cosines, rows[part], axis=1)
        return Neighbours(rows, np.clip(scores, -1.0, 1.0))
