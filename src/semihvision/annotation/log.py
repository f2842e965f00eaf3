"""What a run of the pipeline leaves in MLflow."""

from semihvision.annotation.summary import Summary
from semihvision.tracking import TrackedRun


def log_summary(tracked: TrackedRun, summary: Summary) -> None:
    """Logs counts, tokens, cost and shares as metrics, and as tags the prompts that were used.

    The tag ``prompt_hash/<path>/<source>`` is the producer's own hash: of the prompt that a model
    was asked with, or of the templates. Paths and sources that did not occur have none.

    Args:
        tracked: Open run of the experiment `semihvision.tracking.ANNOTATE`.
        summary: What `annotate` returned.
    """
    metrics = {
        "records": summary.records,
        "annotated": summary.annotated,
        "tokens_in": summary.tokens_in,
        "tokens_out": summary.tokens_out,
        **{f"path/{name}": count for name, count in summary.by_path.items()},
        **{f"added/{name}": count for name, count in summary.parts.items()},
        **{f"gate_failed/{name}": n["failed"] for name, n in summary.gates.items()},
        **{f"refused/{kind}": count for kind, count in summary.refused.items()},
        **{f"word_share/{name}": share for name, share in summary.share().items()},
    }
    if summary.cost_usd is not None:
        metrics["cost_usd"] = summary.cost_usd
    tracked.log_metrics(metrics)
    tracked.set_tags({f"prompt_hash/{where}": h for where, h in summary.prompt_hashes.items()})
