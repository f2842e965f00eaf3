"""What a source consists of on disk, and how much of it its owner has published."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Component:
    """A kind of file below a source's root.

    Attributes:
        name: What it is, in two or three words.
        patterns: Globs relative to the root; what any of them matches belongs to it.
        unit: What is counted: matching files, matching folders, or the rows of the matching
            tables (CSV without its header, lines of JSONL, members of a JSON array).
        published: How many its owner has published; None where that is not known.
        origin: Who says so: ``owners``, ``read in the files``, ``general knowledge``.
        is_required: Whether nothing can be read without it.
    """

    name: str
    patterns: tuple[str, ...]
    unit: Literal["files", "folders", "rows"] = "files"
    published: int | None = None
    origin: str = ""
    is_required: bool = True
