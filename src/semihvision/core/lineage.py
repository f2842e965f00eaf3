"""Whose terms bind a record: its own source's, and those of everything its texts were made with."""

from semihvision.core.record import Record, Retrieved

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
