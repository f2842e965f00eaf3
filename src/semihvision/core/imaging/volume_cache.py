"""Packed volumes, unpacked once a process: slices of one file are mostly read after each other.

An index into the packed file (indexed_gzip) would be the alternative; `benchmarks/volumes.py` has
what both cost.
"""

import gzip
from collections import OrderedDict
from pathlib import Path
from threading import Lock

MAX_BYTES = 2**30
"""Unpacked bytes that are kept a process: six CT volumes of 512 x 512 x 300."""


class VolumeCache:
    """Least recently used volumes go first; the newest stays however large it is.

    Args:
        max_bytes: What is kept at most, beside the newest volume.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._kept: OrderedDict[tuple[Path, int, int], bytes] = OrderedDict()
        self._lock = Lock()
        self.num_unpacked = 0

    def get(self, path: Path, *, skip: int, num_bytes: int) -> bytes:
        """The values of a volume.

        Args:
            path: A gzip file; one that has changed since is unpacked again.
            skip: Bytes before the first value.
            num_bytes: Bytes of values; no more are unpacked.

        Returns:
            At most that many bytes.

        Raises:
            OSError: The file is damaged (also EOFError, zlib.error).
        """
        stat = path.stat()
        key = (path, stat.st_mtime_ns, stat.st_size)
        with self._lock:
            if key not in self._kept:
                self.num_unpacked += 1
                with gzip.open(path) as file:
                    file.read(skip)
                    self._kept[key] = file.read(num_bytes)
                self._forget()
            self._kept.move_to_end(key)
            return self._kept[key]

    def _forget(self) -> None:
        while len(self._kept) > 1 and sum(map(len, self._kept.values())) > self._max_bytes:
            self._kept.popitem(last=False)


UNPACKED = VolumeCache(MAX_BYTES)
"""The cache of this process."""
