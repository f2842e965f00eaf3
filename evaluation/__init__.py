"""Benchmarks, scorers, judge and statistics. Importing this package loads none of them."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evaluation.baselines import (
        majority_answers,
        majority_answers_by_type,
        question_only_answers,
    )
    from evaluation.benchmarks import BENCHMARK_MODULES, load_references
    from evaluation.conventions import CONVENTIONS, Convention, find_convention
    from evaluation.metrics import VQAScores
    from evaluation.normalisation import normalise_vqa_v2
    from evaluation.predictions import (
        Prediction,
        PredictionFile,
        match_ids,
        read_predictions,
        write_predictions,
    )
    from evaluation.references import Reference
    from evaluation.scoring import score_answers
    from evaluation.statistics import clustered_bootstrap_interval

__all__ = [
    "BENCHMARK_MODULES",
    "CONVENTIONS",
    "Convention",
    "Prediction",
    "PredictionFile",
    "Reference",
    "VQAScores",
    "clustered_bootstrap_interval",
    "find_convention",
    "load_references",
    "majority_answers",
    "majority_answers_by_type",
    "match_ids",
    "normalise_vqa_v2",
    "question_only_answers",
    "read_predictions",
    "score_answers",
    "write_predictions",
]

_MODULES = {
    "baselines": ("majority_answers", "majority_answers_by_type", "question_only_answers"),
    "benchmarks": ("BENCHMARK_MODULES", "load_references"),
    "conventions": ("CONVENTIONS", "Convention", "find_convention"),
    "metrics": ("VQAScores",),
    "normalisation": ("normalise_vqa_v2",),
    "predictions": (
        "Prediction",
        "PredictionFile",
        "match_ids",
        "read_predictions",
        "write_predictions",
    ),
    "references": ("Reference",),
    "scoring": ("score_answers",),
    "statistics": ("clustered_bootstrap_interval",),
}


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(f"evaluation.{module}"), name)
    raise AttributeError(f"module 'evaluation' has no attribute {name!r}")
