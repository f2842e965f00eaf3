"""Builds an index folder from records and guidelines."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL.Image import Image

from semihvision.core.errors import InputError, RefusalLog
from semihvision.core.images import read_image
from semihvision.core.lineage import PUBLISHED_GUIDELINES, own_terms
from semihvision.core.record import Record
from semihvision.core.splits import is_test
from semihvision.retrieval.cases import Item, case_item
from semihvision.retrieval.embedders import (
    Embedder,
    FittedEmbedder,
    ImageEmbedder,
    TextEmbedder,
    Vectors,
    create_image_embedder,
    create_text_embedder,
)
from semihvision.retrieval.folder import Table, write_folder
from semihvision.retrieval.guidelines import is_shipped, read_guidelines
from semihvision.retrieval.index import HnswSettings

TEST_SPLIT = "test_split"
"""Kind of what is left out because it belongs to the test split."""
OWN_TERMS = "own_terms"
"""Kind of what is left out because its owner set stricter terms than its source's."""

_IMAGE_BATCH = 16


class BuildReport(NamedTuple):
    """What an index holds, and what was left out.

    Attributes:
        folder: The index.
        items: Number of items by kind.
        vectors: Number of vectors by table.
        refused: Number of refused things by kind; they stand in `refused.jsonl` of the folder.
        left_out: Number of things left out on purpose by kind; they stand in the same file.
    """

    folder: Path
    items: dict[str, int]
    vectors: dict[str, int]
    refused: dict[str, int]
    left_out: dict[str, int]


def build_index(
    out: Path,
    *,
    records: Iterable[Record] = (),
    roots: Mapping[str, Path] | None = None,
    guidelines: Sequence[Path] = (),
    text_embedder: str | TextEmbedder | None = "lsa",
    image_embedder: str | ImageEmbedder | None = "classical",
    settings: HnswSettings | None = None,
    include_test: bool = False,
    on_record: Callable[[], None] = lambda: None,
) -> BuildReport:
    """Embeds the images and texts of records and the passages of guidelines, and indexes them.

    Records of the test split, and those with a question of it, are left out and counted: what is
    found in an index becomes context of training data. So are records whose owner set stricter
    terms than their source's: what is made with them would not carry these.

    Args:
        out: Folder to write; an index that is there is replaced when the new one is complete.
        records: Cases; a repeated record id and an unreadable image are refused and counted.
        roots: Source name to the folder its image paths are relative to.
        guidelines: JSONL files in meditron's format (`demo_guidelines()` for the demo).
        text_embedder: Name, an embedder, or None to index no texts.
        image_embedder: Name, an embedder, or None to index no images.
        settings: Of the graphs.
        include_test: Whether records of the test split are indexed too.
        on_record: Called after each record, for a progress display.

    Raises:
        InputError: There is nothing to index, a source with images has no root, an embedder is
            unknown, a guidelines file is absent, or `out` holds something else.
    """
    text, image = _embedders(text_embedder, image_embedder)
    collection = _Collection(roots or {}, image, include_test)
    for record in records:
        collection.add_case(record)
        on_record()
    for path in guidelines:
        collection.add_guidelines(path)
    image_tables = collection.image_tables()
    text_tables = collection.text_tables(text)
    tables = [*image_tables, *text_tables]
    if not tables:
        raise InputError(
            f"nothing to index: {len(collection.items)} items without text or readable image, "
            f"{len(collection.refused.items)} refused {collection.refused.counts() or ''}; "
            "records of the test split are taken only with --include-test"
        )
    embedders: dict[str, Embedder] = {}
    if text is not None and text_tables:
        embedders["text"] = text
    if image is not None and image_tables:
        embedders["image"] = image
    write_folder(
        out,
        items=collection.items,
        tables=tables,
        embedders=embedders,
        settings=settings or HnswSettings(),
        refused=collection.refused,
    )
    counts = collection.refused.counts()
    kinds = [item.kind for item in collection.items]
    return BuildReport(
        folder=out,
        items={kind: kinds.count(kind) for kind in ("case", "guideline")},
        vectors={table.name: len(table.items) for table in tables},
        refused={kind: n for kind, n in counts.items() if kind not in (TEST_SPLIT, OWN_TERMS)},
        left_out={kind: n for kind, n in counts.items() if kind in (TEST_SPLIT, OWN_TERMS)},
    )


@dataclass
class _Collection:
    """What has been gathered: items, and the vectors of their images."""

    roots: Mapping[str, Path]
    embedder: ImageEmbedder | None
    include_test: bool
    items: list[Item] = field(default_factory=list)
    refused: RefusalLog = field(default_factory=RefusalLog)
    _refs: set[str] = field(default_factory=set)
    _waiting: list[Image] = field(default_factory=list)
    _vectors: list[Vectors] = field(default_factory=list)
    _image_items: list[int] = field(default_factory=list)

    def add_case(self, record: Record) -> None:
        """Takes a record and reads its images."""
        item = case_item(record)
        if is_test(item.split) and not self.include_test:
            reason = "the record or one of its questions belongs to the test split"
            self.refused.add(item.ref, reason=reason, kind=TEST_SPLIT)
        elif stricter := own_terms(record):
            reason = f"the record's own licence sets {', '.join(stricter)}"
            self.refused.add(item.ref, reason=reason, kind=OWN_TERMS)
        elif self._add(item) and self.embedder is not None and record.images:
            self._add_images(record)

    def add_guidelines(self, path: Path) -> None:
        """Takes the passages of one file; only the shipped one is under nobody's terms but ours."""
        sources = () if is_shipped(path) else (PUBLISHED_GUIDELINES,)
        for p in read_guidelines(path, self.refused):
            item = Item(
                ref=p.ref,
                kind="guideline",
                source=p.source,
                group_id=p.document,
                title=p.title,
                text=p.text,
                sources=sources,
                url=p.url,
            )
            self._add(item)

    def image_tables(self) -> list[Table]:
        """The table of case images, if there is one."""
        self._embed_waiting()
        if not self._vectors:
            return []
        rows = np.asarray(self._image_items, np.int64)
        return [Table("case_images", np.concatenate(self._vectors), rows)]

    def text_tables(self, embedder: TextEmbedder | None) -> list[Table]:
        """The tables of case texts and guidelines; fits the embedder where it needs that."""
        rows = [row for row, item in enumerate(self.items) if item.text]
        if embedder is None or not rows:
            return []
        texts = [_embedded_text(self.items[row]) for row in rows]
        if isinstance(embedder, FittedEmbedder):
            embedder.fit(texts)
        vectors = embedder.embed_texts(texts)
        said = vectors.any(axis=1)
        for row in np.asarray(rows)[~said]:
            reason = f"no word of its text is known to the embedder {embedder.name}"
            self.refused.add(self.items[row].ref, reason=reason, kind="text_without_features")
        made = []
        for name, kind in (("case_texts", "case"), ("guidelines", "guideline")):
            chosen = said & np.asarray([self.items[row].kind == kind for row in rows])
            if chosen.any():
                made.append(Table(name, vectors[chosen], np.asarray(rows, np.int64)[chosen]))
        return made

    def _add(self, item: Item) -> bool:
        """Takes an item unless there is one of that reference."""
        if item.ref in self._refs:
            reason = f"a second {item.kind} with this reference; the first one was taken"
            self.refused.add(item.ref, reason=reason, kind=f"repeated_{item.kind}")
            return False
        self._refs.add(item.ref)
        self.items.append(item)
        return True

    def _add_images(self, record: Record) -> None:
        if record.source not in self.roots:
            raise InputError(
                f"{record.record_id} has images but source {record.source!r} has no root folder; "
                f"roots given: {', '.join(sorted(self.roots)) or 'none'} "
                f"(--root {record.source}=DIR, or --image-embedder none)"
            )
        for ref in record.images:
            try:
                image = read_image(self.roots[record.source], ref)
            except InputError as error:
                name = f"{record.record_id}#{ref.image_id}"
                self.refused.add(name, reason=str(error), kind=error.kind)
                continue
            self._waiting.append(image)
            self._image_items.append(len(self.items) - 1)
            if len(self._waiting) >= _IMAGE_BATCH:
                self._embed_waiting()

    def _embed_waiting(self) -> None:
        if self._waiting and self.embedder is not None:
            self._vectors.append(self.embedder.embed_images(self._waiting))
            self._waiting.clear()


def _embedded_text(item: Item) -> str:
    """A passage is embedded with its headings, which often name its subject alone."""
    return f"{item.title}\n{item.text}" if item.kind == "guideline" else item.text


def _embedders(
    text: str | TextEmbedder | None, image: str | ImageEmbedder | None
) -> tuple[TextEmbedder | None, ImageEmbedder | None]:
    """Creates what is given by name; one model serves both if the names are the same."""
    if isinstance(text, str):
        text = create_text_embedder(text)
    if isinstance(image, str):
        shared: Embedder | None = text if text is not None and text.name == image else None
        image = shared if isinstance(shared, ImageEmbedder) else create_image_embedder(image)
    return text, image
