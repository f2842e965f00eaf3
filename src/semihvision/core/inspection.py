"""Looking at a source's files without preparing them: what is there, and what would be lost.

Files are judged by their first and last bytes and images by their headers; nothing is decoded and
nothing hashed. `semihvision prepare` decodes every image and may refuse more than is said here.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from semihvision.core.components import Component
from semihvision.core.errors import InputError, RefusalLog
from semihvision.core.images import examining_by, glance
from semihvision.core.json_stream import object_rows
from semihvision.core.preparation import Reader, Told
from semihvision.core.tables import csv_rows

Status = Literal["present", "partial", "corrupt", "missing"]

_ENDS = {
    ".png": (b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"),
    ".jpg": (b"\xff\xd8", b"\xff\xd9"),
    ".jpeg": (b"\xff\xd8", b"\xff\xd9"),
    ".gz": (b"\x1f\x8b", b""),
    ".xlsx": (b"PK", b""),
}
"""Suffix -> first bytes, and bytes that stand in the last `_TAIL_BYTES` of a whole file."""
_TAIL_BYTES = 512
"""Some cameras write a few bytes behind the end of the picture."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """What there is of one component.

    Attributes:
        component: What was looked for.
        status: ``missing`` where no file matches, ``corrupt`` where one is damaged, ``partial``
            where there is less than was published, or nothing; else ``present``.
        number: How many, in the component's unit.
        num_bytes: Of the matching files.
        damaged: Paths of damaged files, relative to the root.
    """

    component: Component
    status: Status
    number: int
    num_bytes: int
    damaged: tuple[str, ...] = ()


@dataclass
class DryRun:
    """What a reader would make of the files.

    Attributes:
        records: Records it would yield.
        images: Images in them.
        refused: What it would refuse, by headers alone.
        unusable: Why it cannot read at all; empty where it can.
    """

    records: int = 0
    images: int = 0
    refused: RefusalLog = field(default_factory=RefusalLog)
    unusable: str = ""


def look_for(component: Component, root: Path, told: Told = lambda what, n: None) -> Found:
    """Counts a component's files and looks at the ends of each.

    Args:
        component: What to look for.
        root: Folder of the source.
        told: Told how many more files were looked at.
    """
    number = num_bytes = 0
    status: Status = "missing"
    damaged = []
    for path in _matching(component, root):
        told("files", 1)
        status = "present"
        if component.unit == "folders":
            number += 1
            continue
        num_bytes += path.stat().st_size
        rows = _rows(path) if component.unit == "rows" else 1
        if rows is None or looks_damaged(path):
            damaged.append(path.relative_to(root).as_posix())
        number += rows or 0
    if damaged:
        status = "corrupt"
    elif status == "present" and number < (component.published or 1):
        status = "partial"
    return Found(
        component=component,
        status=status,
        number=number,
        num_bytes=num_bytes,
        damaged=tuple(sorted(damaged)),
    )


def dry_run(reader: Reader, root: Path, told: Told = lambda what, n: None) -> DryRun:
    """Runs a source's reader on the headers of its images.

    Args:
        reader: With its options set.
        root: Folder of the source.
        told: Told how many more records there are.
    """
    found = DryRun()
    try:
        with examining_by(_by_its_ends):
            for record in reader(root, found.refused):
                found.records += 1
                found.images += len(record.images)
                told("records", 1)
    except InputError as error:
        found.unusable = str(error)
    return found


def looks_damaged(path: Path) -> bool:
    """Whether a file is empty, or does not begin and end as its suffix says.

    A text may be empty: there are lists of patients without one.
    """
    size = path.stat().st_size
    first, last = _ENDS.get(path.suffix.lower(), (b"", b""))
    if not size:
        return path.suffix != ".txt"
    try:
        with path.open("rb") as file:
            head = file.read(len(first))
            file.seek(max(0, size - _TAIL_BYTES), os.SEEK_SET)
            return head != first or last not in file.read()
    except OSError:
        return True


def _by_its_ends(path: Path, relative: str, known: dict[str, Any]) -> dict[str, Any]:
    found = glance(path, relative, known)
    if looks_damaged(path):
        raise InputError(
            f"{relative}: does not end as a whole {found['format']} file does; copy it again",
            kind="unreadable_image",
        )
    return found


def _matching(component: Component, root: Path) -> Iterator[Path]:
    """Every file (or folder) once, however many patterns it matches."""
    seen: set[Path] = set()
    for pattern in component.patterns:
        for path in root.glob(pattern):
            wanted = path.is_dir() if component.unit == "folders" else path.is_file()
            if wanted and path not in seen:
                seen.add(path)
                yield path


def _rows(path: Path) -> int | None:
    """Rows of a table, good and bad; None if it is no readable table."""
    bad = RefusalLog()
    is_csv = ".csv" in path.suffixes
    try:
        rows: Iterator[object] = csv_rows(path, (), bad) if is_csv else object_rows(path, bad)
        good = sum(1 for _ in rows)
    except InputError:
        return None
    return good + len(bad.items)
