"""What commands say: JSON or a table on standard output, everything else on standard error."""

import json
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table
from rich.text import Text

from semihvision.cli.plain_progress import Display, PlainProgress

stderr = Console(stderr=True)
"""For progress, notes and warnings."""

_WIDEST_CELL = 60
_ENDLESS = 100_000


def print_json(document: Any) -> None:
    """Prints the one JSON document of a `--json` run."""
    sys.stdout.write(json.dumps(document, ensure_ascii=False, indent=2) + "\n")


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Prints a table on standard output; cells are shown by `in_text`, `Text` with its colour.

    Where standard output is no terminal, the table is as wide as its words need.
    """
    table = Table(title=Text(title), title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        # Brackets in data are no markup.
        table.add_row(*(cell if isinstance(cell, Text) else Text(in_text(cell)) for cell in row))
    console = Console()
    if not console.is_terminal:
        console.width = _widened(table, console)
    console.print(table)


def _widened(table: Table, console: Console) -> int:
    """Width at which no word is cut; long cells are folded at blanks."""
    endless = console.options.update(width=_ENDLESS)
    for column in table.columns:
        longest_word = max((console.measure(cell).minimum for cell in column.cells), default=0)
        column.max_width = max(_WIDEST_CELL, longest_word)
    return max(console.width, console.measure(table, options=endless).maximum)


def in_text(value: object) -> str:
    """A value as a person reads it: no brackets, quotes or braces of Python.

    Args:
        value: Text, number, truth value, None, or a mapping or sequence of such.
    """
    if value is None or (isinstance(value, Collection) and not value and value != ""):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{in_text(key)}: {in_text(one)}" for key, one in value.items())
    if isinstance(value, list | tuple | set | frozenset):
        return ", ".join(map(in_text, value))
    return str(value)


def counts_in_text(counts: Mapping[str, int]) -> str:
    """Numbers by kind in one line, e.g. ``2 missing image, 1 too long``.

    Args:
        counts: Kind, with underscores for blanks -> number.
    """
    return ", ".join(f"{number:,} {kind.replace('_', ' ')}" for kind, number in counts.items())


def draws_bars() -> bool:
    """Whether standard error is a terminal that can draw over its lines."""
    return sys.stderr.isatty() and not stderr.is_dumb_terminal


@contextmanager
def progress() -> Iterator[Display]:
    """A progress display on standard error: bars in a terminal, else a plain line now and then."""
    if not draws_bars():
        lines = PlainProgress()
        yield lines
        lines.finish()
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=stderr) as display:
        yield display


class Bars:
    """One task for each label, as callbacks of ``(label, done, total)`` report them.

    Args:
        display: Where the tasks are shown.
    """

    def __init__(self, display: Display) -> None:
        self._display = display
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, label: str, done: int, total: int) -> None:
        """States how far the task of a label is."""
        if label not in self._tasks:
            self._tasks[label] = self._display.add_task(label, total=total)
        self._display.update(self._tasks[label], completed=done)
