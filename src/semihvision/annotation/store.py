"""Finished and failed work of a run, kept in SQLite beside the output so that a run can resume.

One row for each key; a draft is committed as soon as it is there, so a killed run loses only what
was under way. One writer at a time (a lock file held by the process, released by the system when
it dies); readers, such as `annotate status`, may look in at any time. The file holds results,
which are data: treat it like the records.
"""

import fcntl
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from types import TracebackType
from typing import IO

from semihvision.annotation.draft import Draft
from semihvision.core.errors import InputError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS draft (
    key TEXT PRIMARY KEY,
    record_id TEXT NOT NULL,
    path TEXT NOT NULL,
    producer TEXT NOT NULL,
    failure TEXT NOT NULL,
    content TEXT NOT NULL
) WITHOUT ROWID
"""
_VERSION = 2


def store_path(out: Path) -> Path:
    """Where the store of an output file stands."""
    return out.with_name(f"{out.stem}.annotate.sqlite")


class DraftStore:
    """The writer's side of the store; a context manager.

    Args:
        path: SQLite file; made if absent.

    Raises:
        InputError: It is no such store, of another version, or in use by another run.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> "DraftStore":
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = _locked(self._path)
        try:
            self._database = _opened(self._path)
        except BaseException:
            self._lock.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Back to one file. A reader that is just looking in prevents that, which does no harm.
        with suppress(sqlite3.OperationalError):
            self._database.execute("PRAGMA journal_mode=DELETE")
        self._database.close()
        self._lock.close()

    def finished(self, key: str) -> bool:
        """Whether that work was done without failure."""
        row = self._database.execute("SELECT failure FROM draft WHERE key = ?", (key,)).fetchone()
        return row is not None and row[0] == ""

    def get(self, key: str) -> Draft | None:
        """The draft, finished or failed; None if there is none."""
        row = self._database.execute("SELECT content FROM draft WHERE key = ?", (key,)).fetchone()
        return None if row is None else Draft.model_validate_json(row[0])

    def put(self, draft: Draft) -> None:
        """Keeps a draft, in place of a failed one of the same key."""
        with self._database:
            self._database.execute(
                "INSERT OR REPLACE INTO draft VALUES (?, ?, ?, ?, ?, ?)",
                (
                    draft.key,
                    draft.record_id,
                    draft.path,
                    draft.producer,
                    draft.failure,
                    draft.model_dump_json(),
                ),
            )


def finished_keys(path: Path) -> set[str]:
    """Keys of finished work in a store; empty if there is no store yet."""
    if not path.is_file():
        return set()
    with closing(_read_only(path)) as database:
        return {key for (key,) in database.execute("SELECT key FROM draft WHERE failure = ''")}


def stored_drafts(path: Path) -> Iterator[Draft]:
    """All drafts of a store, while a run may be writing to it.

    Raises:
        InputError: There is no such store.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such store; it is made by `semihvision annotate run`")
    with closing(_read_only(path)) as database:
        for (content,) in database.execute("SELECT content FROM draft ORDER BY key"):
            yield Draft.model_validate_json(content)


def _locked(path: Path) -> IO[str]:
    # The lock file stays: removing it would let two writers lock two different files.
    lock = path.with_name(path.name + ".lock").open("w", encoding="utf-8")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise InputError(f"{path}: in use by another run; wait for it, or stop it") from None
    return lock


def _opened(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path)
    try:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=NORMAL")
        found = _version(database)
        if found not in (0, _VERSION):
            raise InputError(f"{path}: store version {found}, expected {_VERSION}; move it away")
        with database:
            database.execute(_SCHEMA)
            database.execute(f"PRAGMA user_version = {_VERSION}")
    except sqlite3.DatabaseError as error:
        database.close()
        raise InputError(f"{path}: not a readable store ({error}); move it away") from error
    except InputError:
        database.close()
        raise
    return database


def _read_only(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
    try:
        found = _version(database)
    except sqlite3.DatabaseError as error:
        database.close()
        raise InputError(f"{path}: not a readable store ({error})") from error
    if found != _VERSION:
        database.close()
        raise InputError(f"{path}: store version {found}, expected {_VERSION}")
    return database


def _version(database: sqlite3.Connection) -> int:
    return int(database.execute("PRAGMA user_version").fetchone()[0])
