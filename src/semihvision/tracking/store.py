"""Where runs are kept, and the command and links by which people look at them."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from shutil import which
from urllib.parse import quote

from semihvision.core.policy import is_loopback

DEFAULT_URI = "sqlite:///mlruns/mlflow.db"
DEFAULT_HOST = "http://127.0.0.1:5000"
"""Where `mlflow ui` listens unless told otherwise."""

_SQLITE = "sqlite:///"


def tracking_uri() -> str:
    """The store in use: `MLFLOW_TRACKING_URI`, else `DEFAULT_URI` below the working directory."""
    return os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_URI


def is_local() -> bool:
    """Whether what is logged stays on this machine: an SQLite file, or a server on loopback.

    Any other store counts as elsewhere, even one that may be local.
    """
    uri = tracking_uri()
    return uri.startswith(_SQLITE) or is_loopback(uri)


def ui_command(uri: str | None = None) -> str:
    """The shell command that shows a store, ready to paste.

    Names the `mlflow` beside this interpreter where the search path holds no other.
    """
    beside = Path(sys.executable).with_name("mlflow")
    found = which("mlflow")
    program = "mlflow" if found and Path(found).samefile(beside) else _short(beside)
    return f"{program} ui --backend-store-uri {uri or tracking_uri()}"


def runs_link(experiment_id: str, *, host: str = DEFAULT_HOST) -> str:
    """Link to the table of an experiment's runs.

    Without ``workflowType`` MLflow 3 opens an experiment on its GenAI overview.
    """
    return f"{host}/#/experiments/{experiment_id}?workflowType=machine_learning"


def compare_link(run_ids: Sequence[str], experiment_id: str, *, host: str = DEFAULT_HOST) -> str:
    """Link to the page that shows runs of one experiment side by side."""
    runs = quote("[" + ",".join(f'"{run_id}"' for run_id in run_ids) + "]")
    experiments = quote(f'["{experiment_id}"]')
    return (
        f"{host}/#/compare-runs?runs={runs}&experiments={experiments}&workflowType=machine_learning"
    )


def artifact_location() -> str | None:
    """``artifacts`` beside an SQLite file, absolute; a server decides for itself."""
    database = sqlite_file(tracking_uri())
    return None if database is None else (database.parent / "artifacts").resolve().as_uri()


def sqlite_file(uri: str) -> Path | None:
    """The database a store's address names; None where it is another kind of store."""
    return Path(uri.removeprefix(_SQLITE)) if uri.startswith(_SQLITE) else None


def _short(path: Path) -> str:
    """The path relative to the working directory where it lies below it."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
