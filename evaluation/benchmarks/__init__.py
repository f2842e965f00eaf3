"""Benchmarks by name. A new one is one file (see `BENCHMARK_MODULES`) and one entry here."""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import cast

from evaluation.conventions import ScoringRule
from evaluation.references import Reference
from semihvision.core.errors import InputError, RefusalLog

__all__ = ["BENCHMARK_MODULES", "benchmark_module", "conventions_of", "load_references"]

BENCHMARK_MODULES: dict[str, str] = {
    "vqa_rad": "evaluation.benchmarks.vqa_rad",
    "slake": "evaluation.benchmarks.slake",
    "path_vqa": "evaluation.benchmarks.path_vqa",
    "pmc_vqa": "evaluation.benchmarks.pmc_vqa",
    "omnimedvqa": "evaluation.benchmarks.omnimedvqa",
    "mmmu_med": "evaluation.benchmarks.mmmu_med",
    "worldmedqa_v": "evaluation.benchmarks.worldmedqa_v",
    "mediconfusion": "evaluation.benchmarks.mediconfusion",
    "mubench": "evaluation.benchmarks.mubench",
}
"""Benchmark name -> module with

    CONVENTIONS: Mapping[str, ScoringRule]                   by which it is scored
    load(path, refused) -> list[Reference]                   questions and gold answers
    questions(root, refused) -> list[Question]               what `evaluate` asks (not VQA-RAD,
                                                             which is older: `evaluation.tasks`)
"""


def benchmark_module(benchmark: str) -> ModuleType:
    """The module of a benchmark.

    Raises:
        InputError: There is none; the known ones are listed.
    """
    if benchmark not in BENCHMARK_MODULES:
        raise InputError(f"unknown benchmark {benchmark!r}; known: {', '.join(BENCHMARK_MODULES)}")
    return import_module(BENCHMARK_MODULES[benchmark])


def conventions_of(benchmark: str) -> Mapping[str, ScoringRule]:
    """The conventions a benchmark is scored by."""
    return cast(Mapping[str, ScoringRule], benchmark_module(benchmark).CONVENTIONS)


def load_references(
    benchmark: str, path: Path, refused: RefusalLog | None = None
) -> list[Reference]:
    """Reads a benchmark's questions and gold answers from its owner's files.

    Args:
        benchmark: Name of the benchmark, a key of `BENCHMARK_MODULES`.
        path: The owner's file, or the benchmark's folder for its test questions.
        refused: Gets questions that cannot be used, with the reason.

    Raises:
        InputError: Unknown benchmark, or not one usable question; for VQA-RAD any unusable row.
    """
    log = RefusalLog() if refused is None else refused
    found = cast(list[Reference], benchmark_module(benchmark).load(path, log))
    if not found:
        raise InputError(f"{path}: not one usable question; refused: {log.counts() or 'nothing'}")
    return found
