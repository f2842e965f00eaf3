"""Whose terms bind a record: its own source's, and those of everything its texts were made with."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from semihvision.core.card import CARD_MODULES, card
from semihvision.core.digest_set import DigestSet
from semihvision.core.policy import OWNER_PERMITTED
from semihvision.core.record import QA, Conversation, Record, Retrieved, Text

PUBLISHED_GUIDELINES = "open_guidelines"
"""Source whose card holds the terms of guidelines that others published."""


def sources_of(record: Record) -> tuple[str, ...]:
    """Every source a record derives from; to be asked before it is sent, shown or passed on.

    A text that was generated with another source's case as context is a derivative of that source
    too, however the record itself is called.

    Returns:
        Distinct source names, the record's own first.
    """
    found = [record.source]
    for entry in record.provenance:
        for item in entry.retrieved:
            found += sources_of_retrieved(item)
    return tuple(dict.fromkeys(found))


def sources_of_retrieved(item: Retrieved) -> tuple[str, ...]:
    """The sources of one retrieved item; a case's reference always names its own."""
    own = (item.ref.partition("/")[0],) if item.kind == "case" else ()
    return tuple(dict.fromkeys((*own, *item.sources)))


def own_terms(record: Record) -> tuple[str, ...]:
    """Conditions in a record's own licence that its source's card does not set.

    What is made with the record is known to derive from its source, and so cannot carry them.
    """
    if record.source not in CARD_MODULES:
        return ()
    known = (*card(record.source).api_conditions, OWNER_PERMITTED)
    return tuple(name for name in record.licence.conditions if name not in known)


def withheld_by(record: Record) -> str:
    """Why no export may write a record's texts; empty if none of its sources forbids it."""
    names = [name for name in sources_of(record) if name in CARD_MODULES]
    withheld = [name for name in names if not card(name).exports_text]
    if not withheld:
        return ""
    clauses = " ".join(f"{name}: {card(name).api_clause}" for name in withheld)
    return f"texts of {', '.join(withheld)} are written by no export. {clauses}"


@dataclass
class Contents:
    """What a model is made from, for its card: counts over records, added one at a time.

    A record counts for its own source only: one that was written with another source's case as
    context holds nothing else of that source.

    Attributes:
        sources: Records by their own source.
        synthetic: Records of demo twins, by the source they imitate.
        context: By source, records of other sources whose texts were made with it.
        licences: Records by the licence they state.
        producers: Current texts, questions and conversations by who made them.
    """

    sources: Counter[str] = field(default_factory=Counter)
    synthetic: Counter[str] = field(default_factory=Counter)
    context: Counter[str] = field(default_factory=Counter)
    licences: Counter[str] = field(default_factory=Counter)
    producers: Counter[str] = field(default_factory=Counter)
    _synthetic_ids: DigestSet = field(default_factory=DigestSet)
    _items: dict[str, DigestSet] = field(default_factory=dict)
    _made_with: dict[str, DigestSet] = field(default_factory=dict)

    def add(self, record: Record) -> None:
        """Counts one record."""
        self.sources[record.source] += 1
        self.context.update(sources_of(record)[1:])
        self.licences[record.licence.name] += 1
        if record.is_synthetic:
            self.synthetic[record.source] += 1
            self._synthetic_ids.add(record.record_id)
        self._note_items(record)
        producers = record.producers()
        parts: list[Text | QA | Conversation] = [
            *record.current(record.texts),
            *record.current(record.qa),
            *record.current(record.conversations),
        ]
        self.producers.update(producers[part.provenance_id] for part in parts)

    def _note_items(self, record: Record) -> None:
        """Remembers what was retrieved; which of it is synthetic is known once all are read."""
        for item in (item for entry in record.provenance for item in entry.retrieved):
            for source in sources_of_retrieved(item):
                if source == record.source:
                    continue
                # What a synthetic case was itself made with need not be synthetic.
                own = item.kind == "case" and item.ref.startswith(f"{source}/")
                items = self._items.setdefault(source, DigestSet())
                items.add(item.ref if own else f"{source} through {item.ref}")
            if item.kind == "case" and not record.is_synthetic:
                self._made_with.setdefault(record.source, DigestSet()).add(item.ref)

    def document(self) -> dict[str, dict[str, int]]:
        """The counts as plain values for JSON, with three that all records together tell.

        Returns:
            The attributes, and by source: ``context_items``, different cases and passages that
            were context of other sources' records; ``synthetic_context_items``, those of them that
            are synthetic records counted here (of a case that was not counted nothing is known);
            ``with_synthetic_context``, synthetic cases that records of the source, not synthetic
            themselves, were made with.
        """
        counts = {name: found for name, found in vars(self).items() if not name.startswith("_")}
        counts["context_items"] = Counter({name: len(ids) for name, ids in self._items.items()})
        counts["synthetic_context_items"] = self._synthetic_among(self._items)
        counts["with_synthetic_context"] = self._synthetic_among(self._made_with)
        return {name: dict(found.most_common()) for name, found in counts.items()}

    def _synthetic_among(self, items: Mapping[str, DigestSet]) -> Counter[str]:
        """By source, how many of its items are synthetic records; those with none are left out."""
        return +Counter({name: ids.common(self._synthetic_ids) for name, ids in items.items()})
