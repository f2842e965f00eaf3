"""Texts that were there already, in 21 to 43 bytes each, however long they are.

A set of Python texts takes 130 bytes for an id and 180 for a SHA-256, which at millions of records
is more than all else that `prepare` holds. Here digests of 16 bytes stand in one block (open
addressing): two of a billion texts share one with a probability of 1e-21.
"""

import hashlib
from collections.abc import Iterator

_WIDTH = 16
_NOTHING = bytes(_WIDTH)


class DigestSet:
    """A set of texts that can be added and counted, but not read back."""

    def __init__(self) -> None:
        self._slots = bytearray(64 * _WIDTH)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, text: str) -> bool:
        """Adds a text; whether it was not there before."""
        digest = hashlib.blake2b(text.encode(), digest_size=_WIDTH).digest()
        place = self._place(digest)
        if self._slots[place : place + _WIDTH] == digest:
            return False
        self._slots[place : place + _WIDTH] = digest
        self._count += 1
        if 4 * self._count * _WIDTH > 3 * len(self._slots):
            self._double()
        return True

    def common(self, other: "DigestSet") -> int:
        """Number of texts that are in both."""
        few, many = sorted((self, other), key=len)
        return sum(many._has(digest) for digest in _digests(few._slots))

    def _has(self, digest: bytes) -> bool:
        place = self._place(digest)
        return self._slots[place : place + _WIDTH] == digest

    def _place(self, digest: bytes) -> int:
        """Where a digest stands, or the free slot where it belongs."""
        size = len(self._slots)
        place = int.from_bytes(digest[:8]) * _WIDTH % size
        while (found := self._slots[place : place + _WIDTH]) != digest and found != _NOTHING:
            place = (place + _WIDTH) % size
        return place

    def _double(self) -> None:
        old, self._slots = self._slots, bytearray(2 * len(self._slots))
        for digest in _digests(old):
            place = self._place(digest)
            self._slots[place : place + _WIDTH] = digest


def _digests(slots: bytearray) -> Iterator[bytes]:
    for place in range(0, len(slots), _WIDTH):
        digest = bytes(slots[place : place + _WIDTH])
        if digest != _NOTHING:
            yield digest
