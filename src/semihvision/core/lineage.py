"""Whose terms bind a record: its own source's, and those of everything its texts were made with."""

from collections import Counter
from dataclasses import dataclass, field

from semihvision.core.card import CARD_MODULES, card
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

    Attributes:
        sources: Records by every source they derive from.
        licences: Records by the licence they state.
        producers: Current texts, questions and conversations by who made them.
        synthetic: Records of demo twins, by the source they imitate.
    """

    sources: Counter[str] = field(default_factory=Counter)
    licences: Counter[str] = field(default_factory=Counter)
    producers: Counter[str] = field(default_factory=Counter)
    synthetic: Counter[str] = field(default_factory=Counter)

    def add(self, record: Record) -> None:
        """Counts one record."""
        self.sources.update(sources_of(record))
        self.licences[record.licence.name] += 1
        self.synthetic.update([record.source] if record.is_synthetic else [])
        producers = record.producers()
        parts: list[Text | QA | Conversation] = [
            *record.current(record.texts),
            *record.current(record.qa),
            *record.current(record.conversations),
        ]
        self.producers.update(producers[part.provenance_id] for part in parts)

    def document(self) -> dict[str, dict[str, int]]:
        """The counts as plain values for JSON."""
        return {name: dict(counts.most_common()) for name, counts in vars(self).items()}
