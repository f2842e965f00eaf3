"""`semihvision score`: score a predictions file under every convention, side by side."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from evaluation.benchmarks import BENCHMARK_MODULES, conventions_of, load_references
from evaluation.predictions import match_ids, read_predictions
from evaluation.scoring import score_answers
from semihvision.cli.output import print_json, print_table, stderr
from semihvision.cli.parsing import JSON_HELP, parser
from semihvision.core.errors import EXIT_DONE, EXIT_REFUSED_ITEMS, RefusalLog, RefusedItem

_MAX_NAMED = 10


def run(argv: list[str]) -> int:
    """Prints the scores; 3 where predictions are missing or rows were refused.

    Raises:
        InputError: Predictions or references cannot be used.
    """
    made = parser(
        "score",
        "Scores predictions under every named convention. Predictions are joined by id; a question "
        "without one counts as wrong.",
    )
    made.add_argument(
        "--benchmark", required=True, choices=list(BENCHMARK_MODULES), help="whose questions"
    )
    made.add_argument(
        "--predictions",
        required=True,
        type=str,
        metavar="FILE",
        help='JSON list or JSON lines of {"id" or "qid": ..., "answer": ...}, or as MMMU and '
        "MediConfusion publish them",
    )
    made.add_argument(
        "--references",
        required=True,
        type=str,
        metavar="PATH",
        help="the owner's file, e.g. VQA-RAD's testset.json, or the folder of a benchmark",
    )
    made.add_argument("--json", action="store_true", help=JSON_HELP)
    arguments = made.parse_args(argv)
    refused = RefusalLog()
    references = load_references(arguments.benchmark, Path(arguments.references), refused)
    predictions = match_ids(read_predictions(Path(arguments.predictions)), references)
    conventions = conventions_of(arguments.benchmark)
    scores = {
        "benchmark": arguments.benchmark,
        **score_answers(references, predictions.answers, conventions=conventions),
        "refused": [asdict(item) for item in (*refused.items, *predictions.refused.items)],
    }
    if arguments.json:
        print_json(scores)
    else:
        _print_scores(scores)
    unparsable = _unparsable(scores["conventions"])
    _warn(scores["missing_ids"], unparsable, [*refused.items, *predictions.refused.items])
    complete = not (scores["missing"] or scores["refused"] or unparsable)
    return EXIT_DONE if complete else EXIT_REFUSED_ITEMS


def _unparsable(conventions: dict[str, dict[str, Any]]) -> list[str]:
    """Ids of questions whose answer names no option by our rule; they are as good as missing."""
    found: list[str] = conventions.get("choice", {}).get("unparsable_ids", [])
    return found


def _print_scores(scores: dict[str, Any]) -> None:
    title = (
        f"{scores['benchmark']}: {scores['n']} questions, {scores['missing']} without a prediction "
        "(counted as wrong). Scores in percent, 95 % intervals clustered on the image (or pair)"
    )
    print_table(title, ("metric", "convention", "score", "95 %", "n"), _rows(scores["conventions"]))
    if scores["subsets"]:
        columns = ("subset", "metric", "convention", "score", "n")
        print_table("By subset", columns, _subset_rows(scores["subsets"]))


def _rows(conventions: dict[str, dict[str, Any]]) -> Iterator[tuple[str, ...]]:
    """One row per metric and convention; the conventions of one metric stand together."""
    metrics = sorted({metric for scores in conventions.values() for metric in scores["ci95"]})
    for metric in metrics:
        for name, scores in conventions.items():
            if metric not in scores["ci95"]:
                continue
            score, interval = scores[metric], scores["ci95"][metric]
            yield (
                metric,
                name,
                "-" if score is None else f"{score:.2f}",
                "-" if interval is None else f"{interval[0]:.1f} to {interval[1]:.1f}",
                str(scores["n_scored"][metric]),
            )


def _subset_rows(subsets: dict[str, dict[str, Any]]) -> Iterator[tuple[str, ...]]:
    for subset, of_one in sorted(subsets.items()):
        for convention, scores in of_one["conventions"].items():
            for metric, number in scores["n_scored"].items():
                if number:
                    yield subset, metric, convention, f"{scores[metric]:.2f}", str(number)


def _warn(missing_ids: list[str], unparsable: list[str], refused: list[RefusedItem]) -> None:
    """Says on standard error what is missing and why; `--json` lists all of it."""
    for item in refused[:_MAX_NAMED]:
        stderr.print(f"refused: {item.file}: {item.item}: {item.reason}", markup=False)
    if len(refused) > _MAX_NAMED:
        stderr.print(f"... and {len(refused) - _MAX_NAMED} more refused; --json lists all")
    for ids, what in (
        (missing_ids, "questions without a prediction"),
        (unparsable, "answers that name no option (wrong in `choice`)"),
    ):
        if ids:
            more = ", ..." if len(ids) > _MAX_NAMED else ""
            named = ", ".join(ids[:_MAX_NAMED]) + more
            stderr.print(f"{len(ids)} {what}: {named}", markup=False)
