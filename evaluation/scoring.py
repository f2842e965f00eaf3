"""Scores of one set of predictions under several conventions, side by side."""

from collections.abc import Mapping, Sequence
from typing import Any

from evaluation.conventions import CONVENTIONS, ScoringRule
from evaluation.references import Reference
from evaluation.statistics import clustered_bootstrap_interval


def score_answers(
    references: Sequence[Reference],
    answers: Mapping[str, str | None],
    *,
    conventions: Mapping[str, ScoringRule] = CONVENTIONS,
    seed: int = 0,
) -> dict[str, Any]:
    """Scores answers, joined to the references by id.

    A missing answer (no entry, or None) counts as wrong: the denominator is always the number of
    references, and ``missing`` says how many of them have no answer.

    Args:
        references: All questions of the benchmark.
        answers: Answer by question id; entries without a reference are the caller's to refuse
            (`evaluation.predictions.match_ids`).
        conventions: Name -> convention.
        seed: Seed of the bootstrap.

    Returns:
        ``n``, ``missing``, ``missing_ids``, under ``conventions``, by name, the result of
        `score_convention`, and under ``subsets``, by name, the same for the questions of each
        subset (languages, subjects, ...) without ids and intervals. Ready for JSON.
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
        "subsets": {
            name: _score_subset(of_one, answers, conventions)
            for name, of_one in subsets_of(references).items()
        },
    }


def subsets_of(references: Sequence[Reference]) -> dict[str, list[Reference]]:
    """Questions by subset, in the order the subsets occur."""
    found: dict[str, list[Reference]] = {}
    for reference in references:
        for name in reference.subsets:
            found.setdefault(name, []).append(reference)
    return found


def score_convention(
    convention: ScoringRule,
    references: Sequence[Reference],
    answers: Mapping[str, str | None],
    *,
    seed: int = 0,
) -> dict[str, Any]:
    """Scores answers under one convention.

    Returns:
        ``split``, the convention's counts (``n_closed`` and ``n_open``, or ``unparsable``: answers
        that name no option, with ``unparsable_ids``), each metric in percent (None where nothing
        counts for it), and by metric under ``n_scored`` how many questions or pairs count, and
        under ``ci95`` the ends of its 95 % interval, clustered on the reference's group (None with
        fewer than two groups).
    """
    found = convention.scores(references, answers)
    percent = {metric: [100 * one for one in values] for metric, values in found.values.items()}
    document = {
        "split": convention.split,
        **found.counts,
        **{metric: _mean(values) for metric, values in percent.items()},
        "n_scored": {metric: len(values) for metric, values in percent.items()},
        "ci95": {
            metric: clustered_bootstrap_interval(values, found.groups[metric], seed=seed)
            for metric, values in percent.items()
        },
    }
    return document | ({"unparsable_ids": found.unparsable} if found.unparsable else {})


def _score_subset(
    references: Sequence[Reference],
    answers: Mapping[str, str | None],
    conventions: Mapping[str, ScoringRule],
) -> dict[str, Any]:
    scored = {name: one.scores(references, answers) for name, one in conventions.items()}
    return {
        "n": len(references),
        "missing": sum(answers.get(reference.id) is None for reference in references),
        "conventions": {
            name: {
                **found.counts,
                **{m: _mean([100 * one for one in v]) for m, v in found.values.items()},
                "n_scored": {metric: len(values) for metric, values in found.values.items()},
            }
            for name, found in scored.items()
        },
    }


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
