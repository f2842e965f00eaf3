"""Scores of one set of predictions under several conventions, side by side."""

from collections.abc import Mapping, Sequence
from typing import Any

from evaluation.conventions import CONVENTIONS, Convention
from evaluation.references import Reference
from evaluation.statistics import clustered_bootstrap_interval


def score_answers(
    references: Sequence[Reference],
    answers: Mapping[str, str | None],
    *,
    conventions: Mapping[str, Convention] = CONVENTIONS,
    seed: int = 0,
) -> dict[str, Any]:
    """Scores answers, joined to the references by id.

    A missing answer (no entry, or None) counts as wrong: the denominator is always the number of
    references, and ``missing`` says how many of them have no answer.

    Args:
        references: All questions of the benchmark.
        answers: Answer by question id; entries without a reference are the caller's to refuse
            (`evaluation.predictions.check_ids`).
        conventions: Name -> convention.
        seed: Seed of the bootstrap.

    Returns:
        ``n``, ``missing``, ``missing_ids``, and under ``conventions``, by name, the result of
        `score_convention`. Ready for JSON.
    """
    missing = [reference.id for reference in references if answers.get(reference.id) is None]
    return {
        "n": len(references),
        "missing": len(missing),
        "missing_ids": missing,
        "conventions": {
            name: score_convention(one, references, answers, seed=seed)
            for name, one in conventions.items()
        },
    }


def score_convention(
    convention: Convention,
    references: Sequence[Reference],
    answers: Mapping[str, str | None],
    *,
    seed: int = 0,
) -> dict[str, Any]:
    """Scores answers under one convention.

    Returns:
        ``split``, ``n_closed``, ``n_open``, each metric of the convention in percent (None where no
        question counts for it), and under ``ci95``, by metric, the ends of its 95 % interval,
        clustered on the reference's group (None with fewer than two groups).
    """
    values: dict[str, list[float]] = {metric: [] for metric in convention.metrics}
    groups: dict[str, list[str]] = {metric: [] for metric in convention.metrics}
    for reference in references:
        for metric, value in convention.score(reference, answers.get(reference.id)).items():
            values[metric].append(100 * value)
            groups[metric].append(reference.group)
    num_closed = sum(map(convention.is_closed, references))
    return {
        "split": convention.split,
        "n_closed": num_closed,
        "n_open": len(references) - num_closed,
        **{metric: _mean(scores) for metric, scores in values.items()},
        "ci95": {
            metric: clustered_bootstrap_interval(scores, groups[metric], seed=seed)
            for metric, scores in values.items()
        },
    }


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
