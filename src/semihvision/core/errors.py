"""Errors that people can act on, and the list of what was refused.

Exit codes of every command (README, "Exit codes"): 0 done, 1 a crash, 2 wrong usage or unusable
input, 3 done with refused items listed, 4 a check or gate failed.
"""

import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path

from semihvision.core.files import write_text_atomically

EXIT_DONE = 0
EXIT_UNUSABLE = 2
EXIT_REFUSED_ITEMS = 3
EXIT_CHECK_FAILED = 4


class InputError(ValueError):
    """Wrong usage or unusable input: the message says what was found, expected, and what to do.

    Args:
        message: For people.
        kind: Short class of the reason, for `RefusedItem.kind` where one item is refused for it.
    """

    def __init__(self, message: str, *, kind: str = "unusable") -> None:
        super().__init__(message)
        self.kind = kind


class PolicyError(InputError):
    """The data-use policy refuses; the message names clause, link and the setting that permits."""


class CheckFailedError(Exception):
    """A check or gate ran and failed (exit code 4)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RefusedItem:
    """One item that could not be taken, and why. Never holds text or pixels of a patient.

    Attributes:
        item: Identifier of the row, question, case or file.
        reason: What was found and what was expected, in one sentence.
        kind: Short machine-readable class of the reason, e.g. ``missing_image``.
        file: The file it stands in, as the user named it; empty if it stands in none.
    """

    item: str
    reason: str
    kind: str
    file: str = ""


@dataclass
class RefusalLog:
    """Collects refused items of one run, counts them, and writes them down."""

    items: list[RefusedItem] = field(default_factory=list)

    def add(self, item: str, *, reason: str, kind: str, file: str = "") -> None:
        """Notes one refused item."""
        self.items.append(RefusedItem(item=item, reason=reason, kind=kind, file=file))

    def counts(self) -> dict[str, int]:
        """Number of refused items by kind, most frequent first."""
        return dict(Counter(item.kind for item in self.items).most_common())

    def write(self, path: Path) -> None:
        """Writes one JSON object a line; removes a stale file when nothing was refused."""
        if not self.items:
            path.unlink(missing_ok=True)
            return
        lines = (json.dumps(asdict(item), ensure_ascii=False) for item in self.items)
        write_text_atomically(path, "".join(line + "\n" for line in lines))
