"""Text stand-in: TF-IDF over words and letters, reduced by a truncated SVD (LSA).

It needs no download and no GPU. It matches wording, not meaning: "renal cyst" and "fluid-filled
lesion of the kidney" are close only as far as the indexed corpus uses the words together.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from semihvision.core.errors import InputError
from semihvision.retrieval.embedders import Vectors, unit_rows

USAGE = "lsa"

_FORMULA = "1"
_MAX_TERMS = 30_000
_MAX_DECOMPOSED = 4_000
"""Texts, evenly spaced, that the singular vectors come from; terms come from all of them. Twice
as many take twice as long, and a corpus of guidelines has several hundred thousand passages."""
_ANALYZERS: dict[str, dict[str, Any]] = {
    "words": {"analyzer": "word", "ngram_range": (1, 2), "token_pattern": r"(?u)\b\w+\b"},
    "letters": {"analyzer": "char_wb", "ngram_range": (3, 5)},
}


def create(argument: str) -> "LsaEmbedder":
    """The embedder; it has no variants."""
    del argument
    return LsaEmbedder()


class LsaEmbedder:
    """Latent semantic analysis of the indexed corpus.

    Words (1- and 2-grams) and letters (3- to 5-grams inside words, which forgive inflection and
    typing errors) each give a TF-IDF vector of length 1; both together are projected on the first
    right singular vectors of the corpus.

    Args:
        max_dimension: Upper bound of the dimension; a corpus of fewer texts gives fewer.
        seed: Of the randomised SVD; equal corpora give equal vectors.

    Source: Deerwester et al. 1990, with sublinear term frequency. Our choice: the paper's
    retriever is not known (paper.md, section 1).
    """

    name = "lsa"

    def __init__(self, *, max_dimension: int = 256, seed: int = 0) -> None:
        self.version = _FORMULA
        self.dimension = 0
        self._max_dimension = max_dimension
        self._seed = seed
        self._vectorizers: list[Any] = []
        self._projection: NDArray[np.float32] = np.zeros((0, 0), np.float32)

    def fit(self, texts: Sequence[str]) -> None:
        """Learns vocabulary, document frequencies and projection from the corpus.

        Raises:
            InputError: The corpus holds not a single word.
        """
        from scipy.sparse import hstack
        from sklearn.utils.extmath import randomized_svd
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

        self._vectorizers = [_vectorizer(name) for name in _ANALYZERS]
        try:
            blocks = [vectorizer.fit_transform(texts) for vectorizer in self._vectorizers]
        except ValueError as error:
            raise InputError(f"lsa: the {len(texts)} texts to index hold no words") from error
        chosen = np.linspace(0, len(texts) - 1, min(len(texts), _MAX_DECOMPOSED)).astype(np.int64)
        features = hstack(blocks, format="csr")[chosen]
        # One thread: rounding must not depend on the number of cores.
        with threadpool_limits(limits=1):
            _, _, directions = randomized_svd(
                features,
                n_components=min(self._max_dimension, *features.shape),
                random_state=self._seed,
            )
        self._take(np.ascontiguousarray(directions.T, dtype=np.float32))

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        """(n, dimension); a text that shares no word and no letters with the corpus gets zeros."""
        assert self.dimension, "fit() or load() comes first"
        if not texts:
            return np.zeros((0, self.dimension), np.float32)
        return unit_rows(self._features(texts) @ self._projection)

    def save(self, folder: Path) -> None:
        """Writes terms (JSON) and numbers (safetensors)."""
        tensors = {"projection": self._projection}
        terms = {}
        for name, vectorizer in zip(_ANALYZERS, self._vectorizers, strict=True):
            tensors[f"idf_{name}"] = vectorizer.idf_.astype(np.float32)
            terms[name] = vectorizer.get_feature_names_out().tolist()
        save_file(tensors, folder / "lsa.safetensors")
        text = json.dumps(terms, ensure_ascii=False)
        (folder / "terms.json").write_text(text, encoding="utf-8")

    def load(self, folder: Path) -> None:
        """Reads what `save` wrote; embeddings are the same to the last bit."""
        terms = json.loads((folder / "terms.json").read_text(encoding="utf-8"))
        tensors = load_file(folder / "lsa.safetensors")
        self._vectorizers = []
        for name in _ANALYZERS:
            vectorizer = _vectorizer(name, vocabulary=terms[name])
            vectorizer.idf_ = tensors[f"idf_{name}"]
            self._vectorizers.append(vectorizer)
        self._take(tensors["projection"])

    def _take(self, projection: NDArray[np.float32]) -> None:
        """Completes what was learnt; it is part of the version, since it decides the vectors."""
        self._projection = projection
        self.dimension = projection.shape[1]
        digest = hashlib.sha256(projection.tobytes())
        for vectorizer in self._vectorizers:
            digest.update("\n".join(vectorizer.get_feature_names_out()).encode())
            digest.update(vectorizer.idf_.astype(np.float32).tobytes())
        self.version = f"{_FORMULA}:{digest.hexdigest()}"

    def _features(self, texts: Sequence[str]) -> Any:
        """(n, terms) sparse float32, words beside letters."""
        from scipy.sparse import hstack

        return hstack([v.transform(texts) for v in self._vectorizers], format="csr")


def _vectorizer(name: str, vocabulary: list[str] | None = None) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(
        **_ANALYZERS[name],
        lowercase=True,
        strip_accents="unicode",
        sublinear_tf=True,
        max_features=None if vocabulary else _MAX_TERMS,
        vocabulary=vocabulary,
        dtype=np.float32,
    )
