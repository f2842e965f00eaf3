"""What `semihvision doctor` says of the machine; loads none of the libraries it asks about."""

import os
import platform
import shutil
import sqlite3
import subprocess
import urllib.error
import urllib.request
from importlib.metadata import PackageNotFoundError, version
from typing import NamedTuple
from urllib.parse import urlsplit

from semihvision.core.policy import require_encryption
from semihvision.core.reasons import in_words
from semihvision.tracking.store import sqlite_file, tracking_uri

_TIMEOUT_S = 5.0


class Fact(NamedTuple):
    """One line about the machine.

    Attributes:
        what: Subject.
        found: What there is, in words.
        is_ok: False where something will not work; None where that depends on what is wanted.
    """

    what: str
    found: str
    is_ok: bool | None = True


def machine() -> list[Fact]:
    """Python, libraries, accelerator, cores and the store of runs."""
    return [
        Fact("python", f"{platform.python_version()} on {platform.system()}"),
        _library("semihvision"),
        _library("torch", "training"),
        _gpu(),
        Fact("cores", str(os.cpu_count())),
        _library("hnswlib", "retrieval index"),
        _library("mlflow", "store of runs"),
        _store(),
        _library("openai", "client of hosted models"),
    ]


def _library(name: str, what: str = "") -> Fact:
    what = f"{what} ({name})" if what else name
    try:
        return Fact(what, version(name))
    except PackageNotFoundError:
        return Fact(what, "not installed", None)


def _gpu() -> Fact:
    """By NVIDIA's own program: asking torch would take seconds."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return Fact("gpu", "none found (no nvidia-smi)", None)
    asked = [program, "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        return Fact("gpu", f"nvidia-smi fails ({in_words(error)})", False)
    return Fact("gpu", "; ".join(done.stdout.split("\n")).strip("; ") or "none found", None)


def _store() -> Fact:
    """MLflow's store; a server is named and not asked."""
    uri = tracking_uri()
    database = sqlite_file(uri)
    if database is None:
        parts = urlsplit(uri)
        return Fact("runs", f"kept by {parts.scheme}://{parts.hostname or ''} (not asked)", None)
    if not database.is_file():
        return Fact("runs", f"{database}: not there yet; the first run makes it")
    try:
        store = sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True)
        try:
            number = store.execute("SELECT count(*) FROM runs").fetchone()[0]
        finally:
            store.close()
    except sqlite3.Error as error:
        return Fact("runs", f"{database}: no readable store ({in_words(error)})", False)
    return Fact("runs", f"{number} in {database}")


def endpoint(url: str) -> Fact:
    """Whether a server answers at an OpenAI-compatible base URL; no key and no data are sent.

    Args:
        url: Base URL, e.g. ``http://127.0.0.1:8000/v1``.

    Raises:
        InputError: No base URL, or one on another machine without encryption.
    """
    require_encryption(url)
    host = urlsplit(url).hostname
    request = urllib.request.Request(url.rstrip("/") + "/models")
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as reply:
            return Fact("endpoint", f"{host} answers ({reply.status})")
    except urllib.error.HTTPError as error:
        with error:
            return Fact("endpoint", f"{host} answers ({error.code}, asked without a key)")
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        why = in_words(reason if isinstance(reason, Exception) else error)
        return Fact("endpoint", f"{host} does not answer ({why})", False)
