"""MLflow runs: open one, log to it, read it back. The only importer of mlflow.

mlflow costs two seconds: it is loaded by the first call that needs it.
"""

import logging
import os
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from semihvision.tracking.store import artifact_location, sqlite_file, tracking_uri
from semihvision.tracking.tags import code_tags

if TYPE_CHECKING:
    from lightning.pytorch.loggers import MLFlowLogger
    from mlflow import MlflowClient
    from PIL.Image import Image

TRAIN = "semihvision/train"
EVALUATE = "semihvision/evaluate"
ANNOTATE = "semihvision/annotate"
"""Names of the three experiments."""

_PARAMS_PER_BATCH = 100
_PARAM_MAX_CHARACTERS = 6000


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
    return str(client.create_experiment(name, artifact_location(), tags))


def lightning_logger(
    experiment: str,
    run_name: str,
    tags: Mapping[str, str] | None = None,
    *,
    run_id: str | None = None,
) -> "MLFlowLogger":
    """Lightning's own MLflow logger, wired to the same store; it writes from rank 0 only.

    Args:
        experiment: `TRAIN`, as a rule.
        run_name: Name of the run in tables.
        tags: Further tags; version and commit are added.
        run_id: Run to go on with; None for a new one.
    """
    from lightning.pytorch.loggers import MLFlowLogger
    from lightning.pytorch.utilities import rank_zero_only

    store_client()
    rank_zero_only(ensure_experiment)(experiment)
    return MLFlowLogger(
        experiment_name=experiment,
        run_name=run_name,
        run_id=run_id,
        tracking_uri=tracking_uri(),
        tags={**code_tags(), **(tags or {})},
    )


def run_of(logger: "MLFlowLogger") -> TrackedRun:
    """The run that Lightning's logger writes to; on rank 0 only.

    Args:
        logger: As `lightning_logger` makes it.
    """
    return TrackedRun(logger.experiment, str(logger.run_id), str(logger.experiment_id))


class SystemMetrics:
    """MLflow's monitor of processor, memory, disk, network and GPU, as metrics ``system/...``."""

    def __init__(self) -> None:
        self._monitor: Any = None

    def start(self, run_id: str) -> None:
        """Samples every ten seconds, in a thread, until `stop` or the end of the run.

        Args:
            run_id: A run that is under way; one that goes on keeps its earlier samples.
        """
        from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

        logging.getLogger("mlflow.system_metrics").setLevel(logging.WARNING)
        monitor: Any = SystemMetricsMonitor
        self._monitor = monitor(run_id, resume_logging=True, tracking_uri=tracking_uri())
        self._monitor.start()

    def stop(self) -> None:
        """Writes the last samples; nothing where it was not started."""
        monitor, self._monitor = self._monitor, None
        if monitor is not None:
            monitor.finish()


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
    database = sqlite_file(tracking_uri())
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
