"""Finding similar cases and guidelines by text, by image, or by both.

The paper's retriever and its fusion are not known (paper.md, section 1); what follows is ours.

Every query is compared with the vectors of its own space: a text with case texts and guidelines,
an image with case images; with a CLIP-like embedder for both, each with all. Every pair of query
and kind of vector gives one ranking by cosine, one place an item (its best vector), and
`semihvision.retrieval.fusion` joins the rankings. An image alone reaches guidelines by way of the
texts of its most similar cases.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from PIL.Image import Image

from semihvision.core.errors import InputError
from semihvision.retrieval.cases import Group, Item, group_of
from semihvision.retrieval.embedders import (
    ImageEmbedder,
    TextEmbedder,
    Vectors,
)
from semihvision.retrieval.folder import Table, read_items, read_meta, read_tables
from semihvision.retrieval.fusion import Ranking, best_first, fuse
from semihvision.retrieval.hit import KINDS, Hit, Kind, hit_of
from semihvision.retrieval.opening import BACKENDS, Backend, open_embedders, open_indexes
from semihvision.retrieval.vectors import VectorIndex

NEIGHBOUR_CASES = 3
"""Similar cases whose texts, averaged, stand in for the missing text of an image."""

_DEPTH = 50


class Retriever:
    """An open index. Made by `Retriever.open`.

    Attributes:
        items: Everything that can be found.
        tables: Vectors by table name; `Table.items` are rows of `items`.
        indexes: The searchable form of each table.
        sha256: Identity of the index, for provenance.
    """

    def __init__(
        self,
        *,
        items: Sequence[Item],
        tables: Iterable[Table],
        indexes: dict[str, VectorIndex],
        text_embedder: TextEmbedder | None,
        image_embedder: ImageEmbedder | None,
        sha256: str = "",
    ) -> None:
        self.items = items
        self.tables = {table.name: table for table in tables}
        self.indexes = indexes
        self.sha256 = sha256
        self._text = text_embedder
        self._image = image_embedder
        self._row_by_ref = {item.ref: row for row, item in enumerate(items)}
        self._rows_by_group: dict[Group, list[int]] = {}
        for row, item in enumerate(items):
            self._rows_by_group.setdefault(group_of(item), []).append(row)

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        backend: Backend = "hnswlib",
        text_embedder: TextEmbedder | None = None,
        image_embedder: ImageEmbedder | None = None,
    ) -> "Retriever":
        """Opens an index folder after checking it.

        Args:
            folder: Written by `build_index`.
            backend: ``hnswlib``, or ``exact`` to compare with every vector.
            text_embedder: The embedder it was built with, if it is loaded already.
            image_embedder: Likewise.

        Raises:
            InputError: No intact index, an unknown backend, or another embedder than at build.
        """
        if backend not in BACKENDS:
            raise InputError(f"unknown backend {backend!r}; known: {', '.join(BACKENDS)}")
        meta = read_meta(folder)
        tables = read_tables(folder, meta)
        indexes = open_indexes(folder, meta, tables, backend)
        embedders = open_embedders(folder, meta, text=text_embedder, image=image_embedder)
        return cls(
            items=read_items(folder),
            tables=tables,
            indexes=indexes,
            text_embedder=embedders.text,
            image_embedder=embedders.image,
            sha256=meta.sha256,
        )

    def search(
        self,
        *,
        text: str | None = None,
        image: Image | None = None,
        k: int = 5,
        kinds: Sequence[Kind] = KINDS,
        exclude_groups: Iterable[Group] = frozenset(),
        exclude_refs: Iterable[str] = frozenset(),
    ) -> list[Hit]:
        """The k best items for a text, an image, or both.

        Args:
            text: Query text, not blank.
            image: Query image, RGB.
            k: Number of hits, >= 1. Fewer come back only if fewer are left after the exclusions,
                or none of the query's words is known to the embedder.
            kinds: What may be found. To be sure of some of each, ask for one kind at a time.
            exclude_groups: Groups, as (source, group id), whose items are not found; pass the
                query's own group so that a case never retrieves itself or its patient.
            exclude_refs: References that are not found.

        Returns:
            Distinct items, best first (see the module's docstring).

        Raises:
            InputError: Neither text nor image, a blank text, k < 1, an unknown kind, or a query
                that this index has no embedder for.
        """
        self._check(text, image, k, kinds)
        excluded = self._rows_of(exclude_groups, exclude_refs)
        depth = max(k, _DEPTH)
        rankings = []
        if text is not None and self._text is not None:
            rankings += self._rank(
                "text", self._text.embed_texts([text])[0], kinds, excluded, depth
            )
        if image is not None and self._image is not None:
            seen = self._image.embed_images([image])[0]
            rankings += self._rank("image", seen, kinds, excluded, depth)
            if text is None and "guideline" in kinds and not self._shared_space:
                rankings += self._guidelines_by_cases(seen, excluded, depth)
        return [hit_of(self.items[found.row], found) for found in fuse(rankings)[:k]]

    @property
    def _shared_space(self) -> bool:
        return (
            self._text is not None
            and self._image is not None
            and self._text.name == self._image.name
        )

    def _check(self, text: str | None, image: Image | None, k: int, kinds: Sequence[Kind]) -> None:
        if text is None and image is None:
            raise InputError("a search needs a text, an image, or both")
        if text is not None and not text.strip():
            raise InputError("the query text is blank")
        if k < 1:
            raise InputError(f"k {k}: expected at least 1")
        unknown = sorted(set(kinds) - set(KINDS))
        if unknown or not kinds:
            raise InputError(f"kinds {unknown or 'empty'}; known: {', '.join(KINDS)}")
        if text is not None and self._text is None:
            raise InputError("the index holds no texts, so it cannot be searched by text")
        if image is not None and self._image is None:
            raise InputError("the index holds no images, so it cannot be searched by image")

    def _rows_of(self, groups: Iterable[Group], refs: Iterable[str]) -> frozenset[int]:
        rows = [row for group in groups for row in self._rows_by_group.get(group, ())]
        rows += [self._row_by_ref[ref] for ref in refs if ref in self._row_by_ref]
        return frozenset(rows)

    def _rank(
        self,
        query: Literal["text", "image"],
        vector: Vectors,
        kinds: Sequence[Kind],
        excluded: frozenset[int],
        depth: int,
    ) -> list[Ranking]:
        """One ranking for each modality of vectors that lives in the query's space."""
        texts = [("case_texts", "case"), ("guidelines", "guideline")]
        images = [("case_images", "case")]
        targets = {"text": texts, "image": images}
        rankings = []
        for target, tables in targets.items():
            if target != query and not self._shared_space:
                continue
            entries = []
            for name, kind in tables:
                if kind in kinds:
                    entries += self.nearest(name, vector, depth, excluded)
            via = query if query == target else f"{query}->{target}"
            rankings.append(Ranking(via, sorted(entries, key=best_first)[:depth]))
        return rankings

    def _guidelines_by_cases(
        self, vector: Vectors, excluded: frozenset[int], depth: int
    ) -> list[Ranking]:
        """Guidelines near the mean text vector of the cases that look most like the image."""
        if not {"case_images", "case_texts", "guidelines"} <= set(self.tables):
            return []
        texts = self.tables["case_texts"]
        place = {int(item): row for row, item in enumerate(texts.items)}
        cases = self.nearest("case_images", vector, depth, excluded)
        rows = [place[item] for item, _ in cases if item in place][:NEIGHBOUR_CASES]
        if not rows:
            return []
        mean = texts.vectors[rows].mean(axis=0)
        length = float(np.linalg.norm(mean))
        if length == 0.0:
            return []
        unit = (mean / length).astype(np.float32)
        return [Ranking("similar cases", self.nearest("guidelines", unit, depth, excluded))]

    def nearest(
        self, table: str, vector: Vectors, k: int, excluded: frozenset[int] = frozenset()
    ) -> list[tuple[int, float]]:
        """The k items of a table nearest to a vector of its space.

        Args:
            table: ``case_images``, ``case_texts`` or ``guidelines``; absent ones give nothing.
            vector: (D,) unit vector; a zero vector is near to nothing.
            k: Number of items, >= 1.
            excluded: Rows of `items` that do not count. More is fetched until k others are found
                or nothing is left.

        Returns:
            (row of `items`, cosine), best first, each item once.
        """
        if table not in self.tables or not vector.any():
            return []
        owners = self.tables[table].items
        fetch = k + (int(np.isin(owners, list(excluded)).sum()) if excluded else 0)
        while True:
            fetch = min(fetch, len(owners))
            rows, scores = self.indexes[table].query(vector[None], fetch)
            best: dict[int, float] = {}
            for item, score in zip(owners[rows[0]].tolist(), scores[0].tolist(), strict=True):
                if item not in excluded:
                    best.setdefault(item, score)
            if len(best) >= k or fetch == len(owners):
                return sorted(best.items(), key=best_first)[:k]
            fetch *= 2
