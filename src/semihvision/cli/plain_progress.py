"""Progress as plain lines, for logs and pipes, where no bar can be drawn."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from threading import RLock
from typing import Protocol, TypeVar

from rich.progress import TaskID

PAUSE_S = 10.0
"""Shortest time between two lines about one task."""

SHARE = 0.05
"""Least part of a task between two lines about it, unless it takes longer than `SILENCE_S`."""

SILENCE_S = 60.0

Item = TypeVar("Item")


class Display(Protocol):
    """What commands use of a progress display: rich's bars and the plain lines alike."""

    def add_task(self, description: str, *, total: float | None = None) -> TaskID:
        """Begins a task of `total` items; ``None`` where that is not known."""
        ...

    def advance(self, task_id: TaskID, advance: float = 1) -> None:
        """Counts items that are done."""
        ...

    def update(
        self, task_id: TaskID, *, total: float | None = None, completed: float | None = None
    ) -> None:
        """States how many items are done, and how many there are."""
        ...

    def track(
        self, sequence: Iterable[Item], total: float | None = None, *, description: str = ""
    ) -> Iterable[Item]:
        """Passes items on and counts them as a task of their own."""
        ...


@dataclass
class _Task:
    describe: Callable[[], str]
    total: float | None
    started: float
    done: float = 0
    written_at: float = 0.0
    written_done: float = 0


class PlainProgress:
    """A line now and then on standard error: every 10 s or 5 %, whichever is later.

    A task that needs more than a minute for 5 % is heard of every minute. No control characters.

    Args:
        clock: Seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._tasks: dict[TaskID, _Task] = {}
        self._number = 0
        self._lock = RLock()

    def add_task(
        self, description: str | Callable[[], str], *, total: float | None = None
    ) -> TaskID:
        """Begins a task.

        Args:
            description: What is done; a function is asked whenever a line is written.
            total: Number of items; ``None`` where that is not known.
        """
        describe = description if callable(description) else lambda: description
        now = self._clock()
        with self._lock:
            self._number += 1
            made = TaskID(self._number)
            self._tasks[made] = _Task(describe, total, started=now, written_at=now)
        return made

    def advance(self, task_id: TaskID, advance: float = 1) -> None:
        """Counts items that are done."""
        with self._lock:
            self.update(task_id, completed=self._tasks[task_id].done + advance)

    def update(
        self, task_id: TaskID, *, total: float | None = None, completed: float | None = None
    ) -> None:
        """States how many items are done, and how many there are."""
        with self._lock:
            task = self._tasks[task_id]
            task.total = task.total if total is None else total
            task.done = task.done if completed is None else completed
            now = self._clock()
            if _is_due(task, now):
                task.written_at, task.written_done = now, task.done
                _write(task, now)

    def track(
        self, sequence: Iterable[Item], total: float | None = None, *, description: str = ""
    ) -> Iterator[Item]:
        """Passes items on and counts them as a task of their own."""
        task = self.add_task(description, total=total)
        for item in sequence:
            yield item
            self.advance(task)

    def remove_task(self, task_id: TaskID) -> None:
        """Forgets a task without a last line."""
        with self._lock:
            del self._tasks[task_id]

    def finish(self) -> None:
        """Writes the last line of every task."""
        with self._lock:
            for task in self._tasks.values():
                _write(task, self._clock())
            self._tasks.clear()


def duration(seconds: float) -> str:
    """Seconds as a person would say them, e.g. ``1 h 2 min``.

    Args:
        seconds: At least 0.
    """
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return f"{rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def _is_due(task: _Task, now: float) -> bool:
    silence = now - task.written_at
    if silence < PAUSE_S:
        return False
    grown = task.done - task.written_done
    return not task.total or grown >= SHARE * task.total or silence >= SILENCE_S


def _write(task: _Task, now: float) -> None:
    count = f"{task.done:,.0f}"
    if task.total:
        count += f" of {task.total:,.0f} ({100 * task.done / task.total:.0f} %)"
    line = f"{task.describe()}: {count}, {duration(now - task.started)}"
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
