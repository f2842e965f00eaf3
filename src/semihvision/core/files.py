"""Writing files so that a name never stands for half a file."""

from pathlib import Path


def write_text_atomically(path: Path, text: str) -> None:
    """Writes a text file in UTF-8, which appears under its name only when it is complete.

    Args:
        path: File to write; its folder is made if it is not there. An older file of that name is
            replaced, and stays untouched where writing fails.
        text: All of its text.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
