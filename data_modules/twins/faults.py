"""Twins with planted faults: what a source must refuse, and images that nobody should decode.

A source has such a twin if there is a module `data_modules.twins.<source>_faults` with

    write_faults(root: Path, *, cases: int, seed: int) -> FaultyTwin

which writes sound cases, quirks that the owner's files have and the reader takes, and faults, and
returns what must be refused. `semihvision demo-data --with-faults` writes them, and one test
(`tests/data_modules/test_faults.py`) walks all sources: every planted fault is refused with its
file, place and kind, nothing else is, and accepted + refused = found.

What makes a whole table unusable (a column is missing, another delimiter) stops a reader with exit
code 2 and is planted by `tests/support/broken_tables.py` instead: there is nothing to keep.
"""

import struct
import zlib
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, NamedTuple

Unit = Literal["records", "images", "regions", "texts", "qa"]


class Planted(NamedTuple):
    """One fault, and how it must be refused.

    Attributes:
        fault: What is wrong, in words.
        item: `RefusedItem.item`: the line, case or file.
        kind: `RefusedItem.kind`.
        file: `RefusedItem.file`.
        lost: Units of the source that this refusal takes out (see `FaultyTwin.unit`).
    """

    fault: str
    item: str
    kind: str
    file: str
    lost: int = 1


class FaultyTwin(NamedTuple):
    """What was written.

    Attributes:
        planted: The faults.
        unit: What is counted: records, or the parts of records in that field.
        found: Number of units in the files, sound and faulty; counted while writing.
        quirks: What else is unusual in the files and must be taken, in words.
    """

    planted: tuple[Planted, ...]
    unit: Unit
    found: int
    quirks: tuple[str, ...] = ()


Writer = Callable[..., FaultyTwin]


def faults_writer(source: str) -> Writer | None:
    """`write_faults` of a source, or None if it has no twin with faults."""
    name = f"data_modules.twins.{source}_faults"
    if find_spec(name) is None:
        return None
    found: Writer = import_module(name).write_faults
    return found


def truncate(path: Path) -> None:
    """Cuts a file in the middle."""
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def bomb() -> bytes:
    """A PNG of a few kilobytes that is 96 million pixels: more than is read."""
    width, height = 12_000, 8_000
    row = b"\0" * (1 + width // 8)
    packed = zlib.compressobj()
    data = b"".join([*(packed.compress(row) for _ in range(height)), packed.flush()])
    return _png(width, height, data, bits=1)


def claimed() -> bytes:
    """A PNG of some bytes whose header claims 65,535 x 65,535 pixels: 4 GB of grey."""
    return _png(65_535, 65_535, zlib.compress(b"\0" * 64), bits=8)


def write_bomb(path: Path) -> None:
    """Writes a `bomb`."""
    path.write_bytes(bomb())


def write_claimed(path: Path) -> None:
    """Writes a `claimed` picture."""
    path.write_bytes(claimed())


def link_out(path: Path) -> None:
    """Puts a symbolic link to a place outside of any twin in a file's place."""
    path.unlink(missing_ok=True)
    path.symlink_to(Path("/") / "outside-of-the-root" / path.name)


def _png(width: int, height: int, data: bytes, *, bits: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", data), (b"IEND", b""))
    body = (
        struct.pack(">I", len(content)) + kind + content
        + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )  # fmt: skip
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)
