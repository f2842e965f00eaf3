"""Examining many new images in a pool of processes, before a reader asks for them.

A reader asks for one image at a time and goes on by the answer, so it cannot be divided among
processes. Instead it is run a second time, some images ahead and for its questions alone: this
scout gets answers from the images' headers at once, the images go to the pool, and its records are
thrown away. The reader itself gets the pool's answers. Where an answer from a header misleads the
scout, it asks for other images than the reader, which are then examined on the spot: the records
are the same. The price is memory: what the reader holds of its tables is held twice.
"""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from pathlib import Path
from types import TracebackType
from typing import Any

from semihvision.core.errors import InputError
from semihvision.core.images import examining_by, glance
from semihvision.core.imaging.cells import CELL
from semihvision.core.probe_cache import Answer, ProbeCache, Request, answer

POOL_AFTER_S = 0.25
"""Seconds of this process's work on new images from which on the pool is started: its start takes
about as much of each core. 50 slices of 512 x 512."""
WORTH_S = 0.001
"""Least seconds an image takes for which it is started: what the scout and the way to another
process cost. Thumbnails take less (64 x 64: 0.4 ms), and were slower with a pool than without."""
HEAD_START = 96
"""Images that are left to this process while the pool's processes start."""
CHUNK = 16
"""Images a worker gets at once; slices of one file always go to the same, which unpacks it once."""
_CHUNKS_A_WORKER = 4
"""That wait or are worked on; bounds how far the scout is ahead."""


class Prefetch:
    """An `Examiner` before a `ProbeCache`, which has a pool examine what will be asked next.

    Use as a context manager.

    Args:
        cache: Gets the answers.
        scout: Starts the reader again; what it yields is ignored, and so is an error of its input,
            which the reader itself will raise.
        workers: Processes; 1: no pool.
    """

    def __init__(
        self, cache: ProbeCache, scout: Callable[[], Iterator[object]], *, workers: int
    ) -> None:
        self._cache, self._start_scout, self._workers = cache, scout, workers
        self._pool: ProcessPoolExecutor | None = None
        self._scout: Iterator[object] | None = None
        self._chunk: list[Request] = []
        self._waiting: dict[Future[list[Answer]], list[Request]] = {}
        self._asked: set[tuple[str, str]] = set()
        self._left = HEAD_START
        self._worked_s = 0.0

    def __enter__(self) -> "Prefetch":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
        if isinstance(error, BrokenProcessPool):  # not before: a reader would take it as a refusal
            raise InputError(
                "a process that examines images was ended from outside, most likely for its "
                "memory; run again with fewer --workers: finished work is kept"
            ) from None

    def __call__(self, path: Path, relative: str, known: dict[str, Any]) -> dict[str, Any]:
        """Answers `probe_image`.

        Raises:
            InputError: As `examine`.
            BrokenProcessPool: A process was ended from outside.
        """
        request = Request.of(path, relative, known)
        kept = self._cache.find(request)
        if kept is None and self._is_worth_a_pool():
            kept = self._from_pool(request)
        if kept is not None:
            return kept.fields()
        started = time.thread_time()
        try:
            return self._cache(path, relative, known)
        finally:
            self._worked_s += time.thread_time() - started

    def _is_worth_a_pool(self) -> bool:
        pays = self._worked_s >= max(POOL_AFTER_S, WORTH_S * self._cache.num_examined)
        if self._pool is None and self._workers > 1 and pays:
            context = get_context("spawn")  # a fork would copy locks that other threads hold
            self._pool = ProcessPoolExecutor(
                self._workers, mp_context=context, initializer=_follow_parent
            )
            self._scout = self._start_scout()
        return self._pool is not None

    def _from_pool(self, request: Request) -> Answer | None:
        """The answer to a request, if the scout has made the same."""
        self._go_ahead()
        if request in self._chunk:
            self._send()
        while request[1:] in self._asked:
            self._collect()
            self._go_ahead()
        return self._cache.find(request)

    def _go_ahead(self) -> None:
        """Lets the scout go on until there is work enough."""
        most = self._workers * _CHUNKS_A_WORKER
        try:
            while self._scout is not None and len(self._waiting) < most:
                with examining_by(self._note), _in_silence():
                    next(self._scout)
        except (InputError, StopIteration):
            self._scout = None
            self._send()

    def _note(self, path: Path, relative: str, known: dict[str, Any]) -> dict[str, Any]:
        """The scout's `Examiner`."""
        request = Request.of(path, relative, known)
        if request[1:] not in self._asked:
            kept = self._cache.find(request)
            if kept is not None:
                return kept.fields()
            if self._left > 0:
                self._left -= 1
                return glance(path, relative, known)
            if len(self._chunk) >= CHUNK and (
                path != self._chunk[-1].path or known.get("format") == CELL
            ):
                self._send()
            self._chunk.append(request)
            self._asked.add(request[1:])
        return glance(path, relative, known)

    def _send(self) -> None:
        if self._chunk:
            assert self._pool is not None
            self._waiting[self._pool.submit(_answers, self._chunk)] = self._chunk
            self._chunk = []

    def _collect(self) -> None:
        """Keeps what is done; waits for something if nothing is."""
        for future in wait(self._waiting, return_when=FIRST_COMPLETED).done:
            requests = self._waiting.pop(future)
            self._cache.keep(future.result())
            self._asked.difference_update(request[1:] for request in requests)


@contextmanager
def _in_silence() -> Iterator[None]:
    """Nothing is logged twice: what the scout would say, the reader says."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


def _answers(requests: list[Request]) -> list[Answer]:
    return [answer(request) for request in requests]


def _follow_parent() -> None:
    """Ctrl-C goes to the main process, which ends the pool; if that is killed, so is this one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Else a worker would wait for work for ever: it holds the other end of its own queue."""
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
