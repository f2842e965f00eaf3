"""`semihvision judge run`: a judge over predictions on JAMA-type cases."""

from pathlib import Path
from typing import Any

from evaluation.jama import JamaCase, cases_of, read_case_records, score_jama
from evaluation.judge import RUBRICS, Judgement, judge_answers
from evaluation.predictions import read_predictions
from evaluation.reporting import log_judgement
from semihvision import tracking
from semihvision.cli.endpoint import add_endpoint_arguments, make_client
from semihvision.cli.output import print_json, print_table, progress, stderr
from semihvision.cli.parsing import JSON_HELP, config_parser, dispatch, plain
from semihvision.core.errors import EXIT_DONE, EXIT_REFUSED_ITEMS, InputError, RefusalLog
from semihvision.core.hashing import hash_path
from semihvision.core.writable import require_writable_folder

DEFAULT_MAX_TOKENS = 2000
"""The reference lists of a long discussion take about 1000 tokens."""


def run(argv: list[str]) -> int:
    """Runs the verb."""
    return dispatch("judge", {"run": (_run, "judge answers, log the scores to MLflow")}, argv)


def _run(argv: list[str]) -> int:
    made = config_parser(
        "judge run",
        "Scores answers to JAMA-type cases: the option chosen and the word overlap with the "
        "discussion, and with --llm a judge's three scores from 0 to 5. Without --llm nothing is "
        "sent anywhere.",
    )
    made.add_argument("--cases", required=True, type=str, help="folder with jama.jsonl, or Parquet")
    made.add_argument(
        "--predictions", required=True, type=str, help="answers, as `evaluate` writes"
    )
    made.add_argument(
        "--out", type=str, default="", help="folder for judge.jsonl; else that of the predictions"
    )
    made.add_argument(
        "--run_name",
        type=str,
        default="",
        help="name of the MLflow run; else that of the predictions",
    )
    add_endpoint_arguments(made, max_tokens=DEFAULT_MAX_TOKENS)
    made.add_argument("--json", action="store_true", help=JSON_HELP)
    parsed = made.parse_args(argv)
    config, arguments = plain(parsed), made.instantiate(parsed)
    as_json = config.pop("json")
    refused = RefusalLog()
    cases = cases_of(read_case_records(Path(arguments.cases), refused))
    answers = _answers(Path(arguments.predictions), cases)
    scores = score_jama(cases, answers)
    judgement = _judge(arguments, cases, answers) if arguments.llm else None
    tags = {
        "data_hash": hash_path(Path(arguments.cases)),
        "predictions_hash": hash_path(Path(arguments.predictions)),
    }
    name = arguments.run_name or f"judge {Path(arguments.predictions).stem}"
    with tracking.open_run(tracking.EVALUATE, name, config=config, tags=tags) as tracked:
        tracked.log_metrics({f"jama/{metric}": value for metric, value in scores.items()})
        if judgement is not None:
            log_judgement(tracked, judgement)
    document = _document(tracked, scores, judgement, refused)
    if as_json:
        print_json(document)
    else:
        print_table("JAMA-type cases", ("metric", "value"), _rows(document["metrics"]))
    for item in refused.items:
        stderr.print(f"refused: {item.file}: {item.item}: {item.reason}", markup=False)
    stderr.print(f"MLflow: {tracking.ui_command()}", markup=False, soft_wrap=True)
    link = tracking.runs_link(tracked.experiment_id)
    stderr.print(f"runs:   {link}", markup=False, soft_wrap=True)
    incomplete = refused.items or scores["missing"] or document["unscored"]
    return EXIT_REFUSED_ITEMS if incomplete else EXIT_DONE


def _answers(file: Path, cases: list[JamaCase]) -> dict[str, str | None]:
    """Answers by case id; every id must be that of a case."""
    found = read_predictions(file)
    unknown = sorted(set(found.answers) - {case.id for case in cases})
    if unknown:
        raise InputError(
            f"{file}: {len(unknown)} answers to cases that are not there, e.g. {unknown[0]!r}"
        )
    return dict(found.answers)


def _judge(arguments: Any, cases: list[JamaCase], answers: dict[str, str | None]) -> Judgement:
    folder = Path(arguments.out) if arguments.out else Path(arguments.predictions).parent
    require_writable_folder(folder)
    with progress() as display:
        most = len(cases) * (1 + len(RUBRICS))
        bar = display.add_task("judge (at most)", total=most)
        return judge_answers(
            cases,
            answers,
            make_client(arguments),
            folder / "judge.jsonl",
            on_call=lambda call: display.advance(bar),
        )


def _document(
    tracked: tracking.TrackedRun,
    scores: dict[str, float],
    judgement: Judgement | None,
    refused: RefusalLog,
) -> dict[str, Any]:
    """The result, for JSON; holds no text of any case, answer or reply."""
    judged = judgement.metrics if judgement else {}
    cases = judgement.cases if judgement else ()
    return {
        "run_id": tracked.run_id,
        "experiment_id": tracked.experiment_id,
        "tracking_uri": tracking.tracking_uri(),
        "metrics": {f"jama/{name}": value for name, value in {**scores, **judged}.items()},
        "judge": judgement.tags if judgement else None,
        "calls_made": judgement.calls_made if judgement else 0,
        "scores": {case.id: dict(case.scores) for case in cases if not case.reason},
        "unscored": {case.id: case.reason for case in cases if case.reason},
        "refused": refused.counts(),
    }


def _rows(metrics: dict[str, float]) -> list[tuple[str, str]]:
    return [
        (name, str(value) if isinstance(value, int) else f"{value:.2f}")
        for name, value in metrics.items()
    ]
