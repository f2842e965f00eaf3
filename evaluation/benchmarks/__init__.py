"""Benchmarks by name. A new one is one file with `load(path)` and one entry here."""

from importlib import import_module
from pathlib import Path
from typing import cast

from evaluation.references import Reference
from semihvision.core.errors import InputError

__all__ = ["BENCHMARK_MODULES", "load_references"]

BENCHMARK_MODULES: dict[str, str] = {"vqa_rad": "evaluation.benchmarks.vqa_rad"}
"""Benchmark name -> module whose ``load(path)`` returns its references."""


def load_references(benchmark: str, path: Path) -> list[Reference]:
    """Reads a benchmark's questions and gold answers from its owner's file.

    Args:
        benchmark: Name of the benchmark, a key of `BENCHMARK_MODULES`.
        path: The owner's file.

    Raises:
        InputError: Unknown benchmark, or a file that cannot be used as a whole: scores over a
            silently smaller set of questions would not be the benchmark's.
    """
    if benchmark not in BENCHMARK_MODULES:
        raise InputError(f"unknown benchmark {benchmark!r}; known: {', '.join(BENCHMARK_MODULES)}")
    return cast(list[Reference], import_module(BENCHMARK_MODULES[benchmark]).load(path))
