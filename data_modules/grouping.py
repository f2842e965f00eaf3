"""Rows that belong together, from a table that is read twice instead of being held."""

from collections.abc import Callable, Iterator
from typing import TypeVar

from semihvision.core.digest_set import DigestSet

_R = TypeVar("_R")


def grouped_rows(
    rows: Callable[[bool], Iterator[_R]], key: Callable[[_R], str]
) -> Iterator[list[_R]]:
    """The rows of each key together, in the order in which the keys first occur.

    In most tables the rows of a key stand beside each other. Where some do not, which a first
    reading finds out, only theirs are held.

    Args:
        rows: Reads the table; told whether this is the last reading, so that it refuses and logs
            only then. It must yield the same rows every time.
        key: What a row belongs to.
    """
    scattered: dict[str, list[_R]] = {name: [] for name in _scattered(rows(False), key)}
    if scattered:
        for row in rows(False):
            if key(row) in scattered:
                scattered[key(row)].append(row)
    together: list[_R] = []
    for row in rows(True):
        name = key(row)
        if together and key(together[0]) != name:
            yield together
            together = []
        if name not in scattered:
            together.append(row)
        elif scattered[name]:
            yield scattered[name]
            scattered[name] = []
    if together:
        yield together


def _scattered(rows: Iterator[_R], key: Callable[[_R], str]) -> set[str]:
    """Keys whose rows do not all stand beside each other."""
    seen, found, last = DigestSet(), set(), None
    for row in rows:
        name = key(row)
        if name != last and not seen.add(name):
            found.add(name)
        last = name
    return found
