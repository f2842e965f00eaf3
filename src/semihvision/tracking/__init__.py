"""MLflow: where runs are kept, what every run carries, and the links people are given.

Single-process commands log through `open_run`; Lightning logs through `lightning_logger`, which
writes from rank 0 only. Importing this package does not load mlflow.
"""

from semihvision.tracking.runs import (
    ANNOTATE,
    EVALUATE,
    TRAIN,
    SystemMetrics,
    TrackedRun,
    ensure_experiment,
    lightning_logger,
    metric_history,
    open_run,
    run_of,
    store_client,
)
from semihvision.tracking.store import (
    DEFAULT_HOST,
    DEFAULT_URI,
    compare_link,
    is_local,
    runs_link,
    tracking_uri,
    ui_command,
)
from semihvision.tracking.tags import code_tags

__all__ = [
    "ANNOTATE",
    "DEFAULT_HOST",
    "DEFAULT_URI",
    "EVALUATE",
    "TRAIN",
    "SystemMetrics",
    "TrackedRun",
    "code_tags",
    "compare_link",
    "ensure_experiment",
    "is_local",
    "lightning_logger",
    "metric_history",
    "open_run",
    "run_of",
    "runs_link",
    "store_client",
    "tracking_uri",
    "ui_command",
]
