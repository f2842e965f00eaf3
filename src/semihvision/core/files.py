"""Writing files so that a name never stands for half a file."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO


@contextmanager
def open_atomically(path: Path) -> Iterator[TextIO]:
    """Opens a text file in UTF-8 for writing, which appears under its name only when complete.

    Args:
        path: File to write; its folder is made if it is not there. An older file of that name is
            replaced, and stays untouched where the block fails.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("w", encoding="utf-8") as stream:
            yield stream
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_text_atomically(path: Path, text: str) -> None:
    """Writes a whole text file as `open_atomically` does."""
    with open_atomically(path) as stream:
        stream.write(text)


def to_disk(path: Path) -> None:
    """Returns when a file's content, or a folder's list of names, is on the disk.

    Raises:
        OSError: It cannot be put there; some file systems tell only now that there is no room.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def tree_to_disk(folder: Path) -> None:
    """As `to_disk`, for a folder and all that is in it."""
    for path in folder.rglob("*"):
        to_disk(path)
    to_disk(folder)
