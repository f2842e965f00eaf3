"""What may be done with the records of a file: by licence and by every source they derive from."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, get_args

from semihvision.core.card import CARD_MODULES, Flag, card
from semihvision.core.lineage import sources_of
from semihvision.core.policy import OWNER_REFUSED, conditions_of
from semihvision.core.record import Record

_STRICTEST_FIRST: tuple[Flag, ...] = ("no", "not stated", "conditional", "yes")
assert set(_STRICTEST_FIRST) == set(get_args(Flag))


@dataclass(frozen=True, kw_only=True)
class Rights:
    """What all the terms that bind a record allow together; the strictest of them counts.

    Attributes:
        licence: As the record states it; what a card allows under another one is not stated.
        sources: All sources the record derives from, its own first.
        conditions: What the user must state, for each source and endpoint, before anything goes to
            a hosted model; see `semihvision.core.policy`.
        redistribution: Whether it may be passed on.
        commercial_use: Whether it may be used commercially.
        share_alike: Whether what is made from it inherits the licence.
        exports_text: Whether an export may write its texts.
        without_card: Sources whose terms are not known here: they allow nothing.
        owner_refused: Whether the owner refuses hosted models for this very record.
    """

    licence: str
    sources: tuple[str, ...]
    conditions: tuple[str, ...]
    redistribution: Flag
    commercial_use: Flag
    share_alike: bool
    exports_text: bool
    without_card: tuple[str, ...] = ()
    owner_refused: bool = False

    @property
    def hosted(self) -> str:
        """What it takes to send a record to a hosted model, in words."""
        if self.without_card:
            return "no: terms not known"
        if self.owner_refused:
            return "no: the owner refuses"
        return "your consent" + "".join(f" + {name}" for name in self.conditions)


def rights_of(record: Record) -> Rights:
    """The rights in one record."""
    sources = sources_of(record)
    unknown = tuple(name for name in sources if name not in CARD_MODULES)
    cards = [card(name) for name in sources if name not in unknown]
    own = record.licence.conditions
    asked = [
        name
        for one in cards
        for name in conditions_of(one, own if one.name == record.source else ())
    ]
    flags: list[Flag] = ["no"] if unknown else []
    if any(one.name == record.source and one.licence != record.licence.name for one in cards):
        flags.append("not stated")  # what the card allows, it allows by its own licence
    return Rights(
        licence=record.licence.name,
        sources=sources,
        conditions=tuple(dict.fromkeys(asked)),
        redistribution=_strictest([*flags, *(one.redistribution for one in cards)]),
        commercial_use=_strictest([*flags, *(one.commercial_use for one in cards)]),
        share_alike=any(one.share_alike for one in cards),
        exports_text=not unknown and all(one.exports_text for one in cards),
        without_card=unknown,
        owner_refused=OWNER_REFUSED in own,
    )


def _strictest(flags: list[Flag]) -> Flag:
    return min(flags, key=_STRICTEST_FIRST.index)


@dataclass
class RightsCounts:
    """Records and images by what may be done with them, added one record at a time."""

    records: Counter[Rights] = field(default_factory=Counter)
    images: Counter[Rights] = field(default_factory=Counter)

    def add(self, record: Record) -> None:
        """Counts one record."""
        rights = rights_of(record)
        self.records[rights] += 1
        self.images[rights] += len(record.images)

    def document(self) -> list[dict[str, Any]]:
        """A row for every kind of rights, the most frequent first, as plain values for JSON."""
        return [
            {
                **vars(rights),
                "to_a_hosted_model": rights.hosted,
                "records": number,
                "images": self.images[rights],
            }
            for rights, number in self.records.most_common()
        ]
