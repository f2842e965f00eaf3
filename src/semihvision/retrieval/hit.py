"""One thing that a search finds."""

from typing import Literal, NamedTuple, cast

from semihvision.retrieval.cases import Item
from semihvision.retrieval.fusion import Fused

Kind = Literal["case", "guideline"]
KINDS: tuple[Kind, ...] = ("case", "guideline")


class Hit(NamedTuple):
    """One thing that was found.

    Attributes:
        ref: Record id, or reference of a guideline passage.
        kind: ``case`` or ``guideline``.
        source: Source of the case or publisher of the guideline.
        sources: Every source whose terms bind `text`; see `Item.sources`. Whoever sends `text` to
            an endpoint has to ask the policy about all of them.
        group_id: Patient, case or article; for a guideline its document.
        score: Cosine in [-1, 1]; the highest one, where several rankings found it.
        title: One line.
        text: The case's words or the passage; empty for a case of bare images.
        url: Where a guideline stands; empty for a case.
        split: Split of a case; ``test`` only in an index that was built to include it.
        via: The rankings that found it, joined by ``+``: ``text``, ``image``, ``text->image``,
            ``image->text``, or ``similar cases`` for guidelines reached from an image alone.
    """

    ref: str
    kind: Kind
    source: str
    sources: tuple[str, ...]
    group_id: str
    score: float
    title: str
    text: str
    url: str
    split: str
    via: str


def hit_of(item: Item, found: Fused) -> Hit:
    """An item and where it stands among the joined rankings."""
    return Hit(
        ref=item.ref,
        kind=cast("Kind", item.kind),
        source=item.source,
        sources=item.sources,
        group_id=item.group_id,
        score=found.score,
        title=item.title,
        text=item.text,
        url=item.url,
        split=item.split,
        via=found.via,
    )
