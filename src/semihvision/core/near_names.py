"""Which known name somebody may have meant by a wrong one."""

from collections.abc import Iterable
from difflib import get_close_matches

_SHORTEST_BEGINNING = 2


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name that a wrong one begins, else the most similar; empty if none is near.

    Args:
        name: What was given.
        known: What could have been.
    """
    names = list(known)
    begun = [one for one in names if one.startswith(name)]
    if begun and len(name) >= _SHORTEST_BEGINNING:
        return min(begun, key=len)
    return next(iter(get_close_matches(name, names, n=1)), "")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of a message: ``; did you mean NAME?``, or nothing if no known name is near."""
    near = nearest(name, known)
    return f"; did you mean {near}?" if near else ""
