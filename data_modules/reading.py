"""What the readers share: the owner as origin, the card's licence, and one refused record."""

from typing import Any

from pydantic import ValidationError

from semihvision.core.card import Card
from semihvision.core.errors import RefusalLog
from semihvision.core.record import Licence, Provenance, Record, invalid_reason

OWNER = Provenance(provenance_id="owner", producer="human")
"""Origin of everything the owner shipped and people wrote."""


def licence_of(card: Card) -> Licence:
    """The licence of a record that has the terms of its whole source."""
    return Licence(name=card.licence, url=card.licence_url, conditions=card.api_conditions)


def valid_record(item: str, refused: RefusalLog, *, file: str, **fields: Any) -> Record | None:
    """A validated record, or None with the reason in `refused`."""
    try:
        return Record(**fields)
    except ValidationError as error:
        refused.add(item, reason=invalid_reason(error), kind="invalid_record", file=file)
        return None
