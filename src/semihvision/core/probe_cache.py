"""What `prepare` found out about image files, kept on disk: no unchanged file is decoded twice.

One SQLite file beside the Parquet file holds, by path and by what was known before, the hash and
the description of every examined image, or why it was refused. An entry counts while the file's
size and modification time are those of then; `verify` compares the hash as well. All entries are
forgotten when the code that reads images, its libraries or the root change. The outcome of the last
whole run is kept, too. Entries are written as they are made, so that an interrupted run continues.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from pydantic_core import to_json

from semihvision.core.errors import InputError
from semihvision.core.hashing import hash_file
from semihvision.core.images import examine

_COMMIT_EVERY = 200
_TABLES = """
CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS probes (
    path TEXT, known TEXT, size INTEGER, modified_ns INTEGER, sha256 TEXT,
    found TEXT, kind TEXT, reason TEXT, PRIMARY KEY (path, known)
) WITHOUT ROWID;
"""
_FIND = "SELECT sha256, found, kind, reason, size, modified_ns FROM probes WHERE path=? AND known=?"
_KEEP = "INSERT OR REPLACE INTO probes VALUES (?, ?, ?, ?, ?, ?, ?, ?)"


class Request(NamedTuple):
    """One file to examine, with what is known before; small enough to send to a process.

    Attributes:
        path: The file.
        relative: What messages call it, and the key of its entry.
        known: JSON of the known fields of `ImageRef`.
    """

    path: Path
    relative: str
    known: str

    @staticmethod
    def of(path: Path, relative: str, known: dict[str, Any]) -> "Request":
        """A request from the arguments of an `Examiner`."""
        return Request(path, relative, to_json(known, inf_nan_mode="constants").decode())


class Answer(NamedTuple):
    """What was found: JSON of the fields, or kind and reason of a refusal; and the file as seen."""

    request: Request
    size: int
    modified_ns: int
    sha256: str
    found: str | None
    kind: str = ""
    reason: str = ""

    def fields(self) -> dict[str, Any]:
        """The fields of `ImageRef`.

        Raises:
            InputError: The file was refused.
        """
        if self.found is None:
            raise InputError(self.reason, kind=self.kind)
        found: dict[str, Any] = json.loads(self.found)
        return found


def answer(request: Request) -> Answer:
    """Hashes and decodes one file; a refusal is an answer like any other."""
    stat = request.path.stat()
    try:
        fields = examine(request.path, request.relative, json.loads(request.known))
    except InputError as error:
        digest = hash_file(request.path)
        reason = str(error)
        return Answer(
            request, stat.st_size, stat.st_mtime_ns, digest, None, kind=error.kind, reason=reason
        )
    found = to_json(fields, inf_nan_mode="constants").decode()
    return Answer(request, stat.st_size, stat.st_mtime_ns, fields["sha256"], found)


class ProbeCache:
    """An `Examiner` that remembers; see the module's docstring and `opened_cache`.

    Attributes:
        num_examined: Files that were hashed and decoded in this run.
    """

    def __init__(self, database: sqlite3.Connection, *, verify: bool) -> None:
        self._database = database
        self._verify = verify
        self._verified: dict[str, str] = {}
        self.num_examined = 0

    def __call__(self, path: Path, relative: str, known: dict[str, Any]) -> dict[str, Any]:
        """Answers `probe_image`; raises InputError as `examine` does."""
        request = Request.of(path, relative, known)
        kept = self.find(request)
        if kept is None:
            kept = answer(request)
            self.keep([kept])
        return kept.fields()

    def find(self, request: Request) -> Answer | None:
        """The entry of a file that has not changed since, or None."""
        row = self._database.execute(_FIND, (request.relative, request.known)).fetchone()
        if row is None:
            return None
        sha256, found, kind, reason, size, modified_ns = row
        stat = request.path.stat()
        if (stat.st_size, stat.st_mtime_ns) != (size, modified_ns):
            return None
        if self._verify and self._hash(request) != sha256:
            return None
        return Answer(request, size, modified_ns, sha256, found, kind, reason)

    def _hash(self, request: Request) -> str:
        if request.relative not in self._verified:
            self._verified = {request.relative: hash_file(request.path)}
        return self._verified[request.relative]

    def keep(self, answers: Iterable[Answer]) -> None:
        """Writes entries down."""
        for one in answers:
            (_, relative, known), *rest = one
            size, modified_ns, sha256, found, kind, reason = rest
            row = (relative, known, size, modified_ns, sha256, found, kind, reason)
            self._database.execute(_KEEP, row)
            self.num_examined += 1
            if self.num_examined % _COMMIT_EVERY == 0:
                self._database.commit()

    def outcome(self) -> dict[str, Any] | None:
        """What `keep_outcome` was given last, if anything."""
        row = self._database.execute("SELECT value FROM about WHERE name='outcome'").fetchone()
        return json.loads(row[0]) if row else None

    def keep_outcome(self, outcome: dict[str, Any] | None) -> None:
        """Writes down the outcome of a whole run, or that there is none."""
        _state(self._database, "outcome", json.dumps(outcome))


@contextmanager
def opened_cache(path: Path, *, basis: str, verify: bool = False) -> Iterator[ProbeCache]:
    """Opens a cache file, new or old, and writes it down at the end, whatever happens.

    Args:
        path: SQLite file.
        basis: What all entries depend on (code, libraries, root); another one forgets them.
        verify: Whether an entry counts only while the file's hash is that of then.

    Raises:
        InputError: The file is no such cache, cannot be made, or another run is writing it.
    """
    try:
        database = sqlite3.connect(path)
    except sqlite3.Error:
        raise InputError(f"{path}: cannot be opened or made; is its folder writable?") from None
    try:
        database.executescript(_TABLES)
        kept = database.execute("SELECT value FROM about WHERE name='basis'").fetchone()
        if kept != (basis,):
            database.execute("DELETE FROM probes")
            database.execute("DELETE FROM about")
            _state(database, "basis", basis)
            database.commit()
        yield ProbeCache(database, verify=verify)
    except sqlite3.Error as error:
        raise InputError(
            f"{path}: {error}; no other run may use it. If it is damaged, delete it: then all "
            "images are examined again"
        ) from None
    finally:
        database.commit()
        database.close()


def _state(database: sqlite3.Connection, name: str, value: str) -> None:
    database.execute("INSERT OR REPLACE INTO about VALUES (?, ?)", (name, value))
