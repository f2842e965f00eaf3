"""Looks up similar cases and guidelines for a record that has no annotation of its own."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from PIL.Image import Image

from semihvision.annotation.draft import ContextItem
from semihvision.annotation.facts import facts
from semihvision.annotation.settings import AnnotationSettings
from semihvision.core.record import Record
from semihvision.core.splits import is_test

_LOOKED_AT = 10
"""So many times the wanted items are fetched, since many may have no text or be withheld."""
_QUERY_CHARS = 400


class Hit(Protocol):
    """One retrieved item, as `semihvision.retrieval` returns it."""

    @property
    def ref(self) -> str:
        """Record id of a case, or passage id of a guideline."""

    @property
    def kind(self) -> str:
        """``case`` or ``guideline``."""

    @property
    def sources(self) -> tuple[str, ...]:
        """Sources whose terms bind its text; they decide what may be sent where."""

    @property
    def score(self) -> float:
        """Similarity, larger is closer."""

    @property
    def split(self) -> str:
        """Split of a case; empty where none is known."""

    @property
    def title(self) -> str:
        """Title of the case or guideline."""

    @property
    def text(self) -> str:
        """Its text."""


class Retriever(Protocol):
    """What the pipeline needs of an index: `semihvision.retrieval.Retriever` has it.

    Attributes:
        sha256: Identity of the index; part of the key of stored work.
    """

    sha256: str

    def search(
        self,
        *,
        text: str | None,
        image: Image | None,
        k: int,
        kinds: Sequence[Literal["case", "guideline"]],
        exclude_groups: Collection[tuple[str, str]],
    ) -> Sequence[Hit]:
        """The `k` nearest items of these kinds, best first; groups are (source, group id)."""
        ...


def find_context(
    record: Record,
    image: Image,
    retriever: Retriever,
    settings: AnnotationSettings,
    may_use: Callable[[str], bool],
) -> tuple[tuple[ContextItem, ...], tuple[str, ...]]:
    """Retrieves similar cases by image, then guidelines by words.

    Cases without any text, such as other bare images, tell nothing and are passed over. The record
    has no words of its own beyond modality and body part, so guidelines are looked up with these
    and the beginnings of the cases' texts (our choice: how the paper's retriever does it is not
    known). The record's own group is never returned, nor is a case of the test split.

    Args:
        record: The record to annotate.
        image: Its first image.
        retriever: The index.
        settings: How many of each kind.
        may_use: Whether a source's data may be given to the producer.

    Returns:
        The items that may be used, cases first; and the sources of those that came before them
        and may not: others take their place, and none of their words goes into a query.
    """
    known = facts(record)
    own_group = {(record.source, record.group_id)}
    chosen = _Chosen(may_use)
    if settings.cases:
        nearest = retriever.search(
            text=None,
            image=image,
            k=settings.cases * _LOOKED_AT,
            kinds=("case",),
            exclude_groups=own_group,
        )
        chosen.take((hit for hit in nearest if not is_test(hit.split)), settings.cases)
    place = known.organ or known.body_part
    texts = (hit.text[:_QUERY_CHARS] for hit in chosen.hits)
    words = " ".join([known.modality, place, *texts]).strip()
    if settings.guidelines and words:
        passages = retriever.search(
            text=words,
            image=None,
            k=settings.guidelines * _LOOKED_AT,
            kinds=("guideline",),
            exclude_groups=own_group,
        )
        chosen.take(passages, settings.guidelines)
    return tuple(_item(hit) for hit in chosen.hits), tuple(chosen.withheld)


@dataclass
class _Chosen:
    """Hits that may be used, and the sources that kept others out."""

    may_use: Callable[[str], bool]
    hits: list[Hit] = field(default_factory=list)
    withheld: list[str] = field(default_factory=list)

    def take(self, found: Iterable[Hit], wanted: int) -> None:
        """Takes the first hits with a text that may be used; notes better ones that may not."""
        end = len(self.hits) + wanted
        for hit in found:
            if len(self.hits) == end:
                return
            forbidden = [source for source in hit.sources if not self.may_use(source)]
            if hit.text.strip() and not forbidden:
                self.hits.append(hit)
            elif hit.text.strip():
                self.withheld += forbidden


def _item(hit: Hit) -> ContextItem:
    assert hit.kind in ("case", "guideline")
    return ContextItem(
        ref=hit.ref,
        kind="case" if hit.kind == "case" else "guideline",
        sources=hit.sources,
        score=float(hit.score),
        title=hit.title,
        text=hit.text,
    )
