"""MLflow: where runs are kept, what every run carries, and the links people are given.

The only importer of mlflow, which costs two seconds: it is loaded by the first call that needs it.
Single-process commands log through `open_run`; Lightning logs through `lightning_logger`, which
writes from rank 0 only.
"""

import logging
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from semihvision.core.policy import is_loopback

if TYPE_CHECKING:
    from lightning.pytorch.loggers import MLFlowLogger
    from mlflow import MlflowClient
    from PIL.Image import Image

TRAIN = "semihvision/train"
EVALUATE = "semihvision/evaluate"
ANNOTATE = "semihvision/annotate"
"""Names of the three experiments."""

DEFAULT_URI = "sqlite:///mlruns/mlflow.db"
DEFAULT_HOST = "http://127.0.0.1:5000"
"""Where `mlflow ui` listens unless told otherwise."""

_SQLITE = "sqlite:///"
_PARAMS_PER_BATCH = 100
_PARAM_MAX_CHARACTERS = 6000


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


def run_link(run_id: str, experiment_id: str, *, host: str = DEFAULT_HOST) -> str:
    """Link to one run."""
    return f"{host}/#/experiments/{experiment_id}/runs/{run_id}?workflowType=machine_learning"


def compare_link(run_ids: Sequence[str], experiment_id: str, *, host: str = DEFAULT_HOST) -> str:
    """Link to the page that shows runs of one experiment side by side."""
    runs = quote("[" + ",".join(f'"{run_id}"' for run_id in run_ids) + "]")
    experiments = quote(f'["{experiment_id}"]')
    return (
        f"{host}/#/compare-runs?runs={runs}&experiments={experiments}&workflowType=machine_learning"
    )


def code_tags() -> dict[str, str]:
    """Version, git commit and whether tracked files differ from it, as MLflow tags.

    The commit is that of this software's own checkout, wherever the command was started; an
    installed wheel has none and says so.
    """
    tags = {"semihvision_version": version("semihvision")}
    here = Path(__file__).parent
    if _git(here, "ls-files", "--error-unmatch", "__init__.py") is None:
        return {**tags, "git_commit": "not a git checkout"}
    commit = _git(here, "rev-parse", "HEAD") or "unknown"
    changed = _git(here, "status", "--porcelain", "--untracked-files=no")
    dirty = "unknown" if changed is None else str(bool(changed)).lower()
    return {
        **tags,
        "git_commit": commit,
        "git_dirty": dirty,
        "mlflow.source.git.commit": commit,
    }


@dataclass(frozen=True)
class TrackedRun:
    """An open MLflow run; what is logged goes to this run only, never to a global one."""

    client: "MlflowClient"
    run_id: str
    experiment_id: str

    def log_metrics(self, metrics: Mapping[str, float], *, step: int = 0) -> None:
        """Logs all metrics in one call, which costs as much as logging one."""
        from mlflow.entities import Metric

        now_ms = int(time.time() * 1000)
        batch = [Metric(name, float(value), now_ms, step) for name, value in metrics.items()]
        self.client.log_batch(self.run_id, metrics=batch)

    def log_config(self, config: Mapping[str, Any]) -> None:
        """Stores the resolved configuration as ``config.yaml`` and, flattened, as parameters."""
        from mlflow.entities import Param

        self.log_document("config.yaml", config)
        params = [
            Param(name, str(value)[:_PARAM_MAX_CHARACTERS])
            for name, value in _flat(_plain(config)).items()
        ]
        for start in range(0, len(params), _PARAMS_PER_BATCH):
            self.client.log_batch(self.run_id, params=params[start : start + _PARAMS_PER_BATCH])

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Sets tags of the run, e.g. hashes and names that are known only once it has begun."""
        from mlflow.entities import RunTag

        self.client.log_batch(self.run_id, tags=[RunTag(*item) for item in tags.items()])

    def log_table(self, name: str, columns: "Mapping[str, Sequence[str | float | Image]]") -> None:
        """Stores a table that the Artifacts tab shows, pictures included.

        Args:
            name: File name without ending.
            columns: Column name -> cells, all columns of equal length.
        """
        import mlflow
        from PIL.Image import Image

        data = {
            column: [mlflow.Image(cell) if isinstance(cell, Image) else cell for cell in cells]
            for column, cells in columns.items()
        }
        with _ignoring_deprecations():
            self.client.log_table(self.run_id, data=data, artifact_file=f"{name}.json")

    def log_document(self, name: str, document: Mapping[str, Any]) -> None:
        """Stores a document of plain values as a JSON or YAML artifact, by the name's ending."""
        self.client.log_dict(self.run_id, _plain(document), name)


@contextmanager
def open_run(
    experiment: str,
    run_name: str,
    *,
    config: Mapping[str, Any],
    tags: Mapping[str, str] | None = None,
) -> Iterator[TrackedRun]:
    """Opens a run with its configuration, commit and tags; closes it as finished or failed.

    Args:
        experiment: `TRAIN`, `EVALUATE` or `ANNOTATE`.
        run_name: Name of the run in tables.
        config: Resolved configuration; it must hold no secret.
        tags: Further tags, e.g. ``data_hash``, ``checkpoint_hash``, ``judge``.
    """
    client = store_client()
    experiment_id = ensure_experiment(experiment)
    run = client.create_run(experiment_id, run_name=run_name, tags={**code_tags(), **(tags or {})})
    tracked = TrackedRun(client, run.info.run_id, experiment_id)
    status = "FAILED"
    try:
        tracked.log_config(config)
        yield tracked
        status = "FINISHED"
    finally:
        client.set_terminated(tracked.run_id, status)


def ensure_experiment(name: str) -> str:
    """Id of the experiment; creates it, with its artifact folder, where there is none.

    Call it before several processes begin to log: the first use also creates the database schema.
    """
    client = store_client()
    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    tags = {"mlflow.experimentKind": "custom_model_development"}
    return str(client.create_experiment(name, _artifact_location(), tags))


def lightning_logger(
    experiment: str, run_name: str, tags: Mapping[str, str] | None = None
) -> "MLFlowLogger":
    """Lightning's own MLflow logger, wired to the same store; it writes from rank 0 only.

    Args:
        experiment: `TRAIN`, as a rule.
        run_name: Name of the run in tables.
        tags: Further tags; version and commit are added.
    """
    from lightning.pytorch.loggers import MLFlowLogger
    from lightning.pytorch.utilities import rank_zero_only

    store_client()
    rank_zero_only(ensure_experiment)(experiment)
    return MLFlowLogger(
        experiment_name=experiment,
        run_name=run_name,
        tracking_uri=tracking_uri(),
        tags={**code_tags(), **(tags or {})},
    )


def metric_history(run_id: str, name: str) -> list[float]:
    """All logged values of a run's metric, in the order of their steps."""
    logged = store_client().get_metric_history(run_id, name)
    return [one.value for one in sorted(logged, key=lambda one: one.step)]


def store_client() -> "MlflowClient":
    """A client of the store in use; makes the store's folder and keeps MLflow quiet."""
    # Read by mlflow while it is imported: nothing about this machine is reported anywhere.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    from mlflow import MlflowClient

    for noisy in ("alembic", "mlflow.store.db.utils"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    database = _sqlite_file(tracking_uri())
    if database is not None:
        database.parent.mkdir(parents=True, exist_ok=True)
    with _ignoring_deprecations():
        return MlflowClient(tracking_uri())


@contextmanager
def _ignoring_deprecations() -> Iterator[None]:
    """Hides what mlflow 3.17 itself uses in an outdated way, and only around mlflow's own calls.

    SQLAlchemy 2.1: the "noload" strategy of mlflow's tables. pandas 3: `select_dtypes` of objects
    in `log_table`.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


def _artifact_location() -> str | None:
    """``artifacts`` beside an SQLite file, absolute; a server decides for itself."""
    database = _sqlite_file(tracking_uri())
    return None if database is None else (database.parent / "artifacts").resolve().as_uri()


def _sqlite_file(uri: str) -> Path | None:
    return Path(uri.removeprefix(_SQLITE)) if uri.startswith(_SQLITE) else None


def _git(folder: Path, *words: str) -> str | None:
    """Output of a git command, None where git or the repository is absent."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *words], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def _plain(value: Any) -> Any:
    """The value in dicts, lists, texts and numbers only."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


def _flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, item in value.items():
        if isinstance(item, Mapping) and item:
            flat |= _flat(item, f"{prefix}{key}.")
        else:
            flat[prefix + key] = item
    return flat


def _short(path: Path) -> str:
    """The path relative to the working directory where it lies below it."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
