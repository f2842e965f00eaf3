"""Examining many images in a pool of processes, before a reader asks for them.

A reader asks for one image at a time and goes on by the answer, so it cannot be divided among
processes. Instead it is run once for its questions alone: every new image is answered from its
header at once and sent to the pool, and the records are thrown away. Then the reader runs again
and finds all answers in the cache. Where an answer from the header misleads it, it asks for fewer
images in the first run, and the second examines the rest by itself: the result is the same.
"""

import signal
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from semihvision.core.errors import InputError
from semihvision.core.images import examining_by, glance
from semihvision.core.probe_cache import Answer, ProbeCache, Request, answer

CHUNK = 16
"""Images a worker gets at once; those of one file always go to the same."""
_CHUNKS_A_WORKER = 4
"""That wait or are worked on; bounds the memory."""


def examine_ahead(
    ask: Callable[[], Iterable[object]],
    cache: ProbeCache,
    *,
    workers: int,
    advance: Callable[[int], None],
) -> None:
    """Runs a reader for its questions and puts the answers into the cache.

    Args:
        ask: Starts the reader; what it yields is ignored, and so is an error of its input, which
            it will raise again when it is run for its records.
        cache: Gets the answers.
        workers: Processes.
        advance: Told how many more images were examined.

    Raises:
        InputError: A process was ended from outside, by the system most likely.
    """
    context = get_context("spawn")  # a fork would copy locks that other threads hold
    try:
        with ProcessPoolExecutor(workers, mp_context=context, initializer=_stay_calm) as pool:
            ahead = _Ahead(cache, pool, workers, advance)
            try:
                with examining_by(ahead):
                    for _ in ask():
                        pass
            except InputError:
                pass
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
            ahead.finish()
    except BrokenProcessPool:
        raise InputError(
            "a process that examines images was ended from outside, most likely for its memory; "
            "run again with fewer --workers: finished work is kept"
        ) from None


class _Ahead:
    """An `Examiner` that answers from headers and has the files examined meanwhile."""

    def __init__(
        self,
        cache: ProbeCache,
        pool: ProcessPoolExecutor,
        workers: int,
        advance: Callable[[int], None],
    ) -> None:
        self._cache, self._pool, self._advance = cache, pool, advance
        self._most_waiting = workers * _CHUNKS_A_WORKER
        self._chunk: list[Request] = []
        self._waiting: dict[Future[list[Answer]], list[Request]] = {}
        self._asked: set[tuple[str, str]] = set()

    def __call__(self, path: Path, relative: str, known: dict[str, Any]) -> dict[str, Any]:
        request = Request.of(path, relative, known)
        if request[1:] not in self._asked:
            kept = self._cache.find(request)
            if kept is not None:
                return kept.fields()
            self._add(request)
        return glance(path, relative, known)

    def _add(self, request: Request) -> None:
        if len(self._chunk) >= CHUNK and request.path != self._chunk[-1].path:
            self._send()
        self._chunk.append(request)
        self._asked.add(request[1:])

    def _send(self) -> None:
        if self._chunk:
            self._waiting[self._pool.submit(_answers, self._chunk)] = self._chunk
            self._chunk = []
        while len(self._waiting) > self._most_waiting:
            self._collect()

    def _collect(self) -> None:
        for future in wait(self._waiting, return_when=FIRST_COMPLETED).done:
            asked = self._waiting.pop(future)
            answers = future.result()
            self._cache.keep(answers)
            self._asked.difference_update(request[1:] for request in asked)
            self._advance(len(answers))

    def finish(self) -> None:
        """Waits for all answers."""
        self._send()
        while self._waiting:
            self._collect()


def _answers(requests: list[Request]) -> list[Answer]:
    return [answer(request) for request in requests]


def _stay_calm() -> None:
    """Ctrl-C goes to the main process, which ends the pool."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
