"""`semihvision evaluate -c FILE`: a model on benchmarks -> predictions, scores, an MLflow run."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from evaluation.answerers import Answerer, EndpointAnswerer
from evaluation.reporting import log_evaluations
from evaluation.runner import Evaluation, OnProgress, evaluate_task
from evaluation.tasks import TASKS, Task, load_task
from semihvision import tracking
from semihvision.cli.endpoint import add_endpoint_arguments, make_client
from semihvision.cli.model_folder import require_model_folder
from semihvision.cli.output import Bars, print_json, print_table, progress, stderr
from semihvision.cli.parsing import JSON_HELP, config_parser, plain
from semihvision.core.card import CARD_MODULES
from semihvision.core.errors import EXIT_DONE, EXIT_REFUSED_ITEMS, InputError
from semihvision.core.writable import require_writable_folder

Control = Literal["normal", "blank", "shuffled"]

DEFAULT_MAX_TOKENS = 64
"""Longest answer: VQA answers are a few words; a JAMA discussion needs about 1000."""


def run(argv: list[str]) -> int:
    """Asks, scores, logs and prints; 3 where questions stay unanswered or records were refused.

    Raises:
        InputError: The settings or a benchmark's files cannot be used.
        PolicyError: A benchmark's data may not go to the endpoint.
    """
    made = _parser()
    parsed = made.parse_args(argv)
    config, arguments = plain(parsed), made.instantiate(parsed)
    as_json = config.pop("json")
    if bool(arguments.model) == bool(arguments.llm):
        raise InputError("expected either model (a folder) or llm (a model's name at an endpoint)")
    if arguments.llm and (arguments.system_prompt_file or arguments.other_prompt):
        raise InputError("system_prompt_file and other_prompt go with model, not with llm")
    if not arguments.benchmarks:
        raise InputError(f"benchmarks: expected name: folder; names: {', '.join(TASKS)}")
    require_writable_folder(Path(arguments.out))
    tasks = [_task(name, Path(root)) for name, root in arguments.benchmarks.items()]
    if arguments.model:
        require_model_folder(Path(arguments.model))
    answerer = _answerer(arguments, tasks)
    tags = {name: str(value) for name, value in answerer.identity.items()}
    name = arguments.run_name or Path(arguments.model or arguments.llm).name
    with tracking.open_run(tracking.EVALUATE, name, config=config, tags=tags) as tracked:
        with progress() as display:
            evaluations = list(_evaluate(tasks, answerer, arguments, Bars(display)))
        log_evaluations(tracked, evaluations)
    document = {
        "run_id": tracked.run_id,
        "experiment_id": tracked.experiment_id,
        "tracking_uri": tracking.tracking_uri(),
        "evaluations": [one.summary for one in evaluations],
        "refused": {task.name: task.refused.counts() for task in tasks},
    }
    if as_json:
        print_json(document)
    else:
        _print_scores(evaluations)
    for task in tasks:
        for item in task.refused.items:
            stderr.print(f"refused: {item.file}: {item.item}: {item.reason}", markup=False)
    _say_where(tracked, evaluations)
    complete = not any(task.refused.items for task in tasks) and not any(
        one.reasons for one in evaluations
    )
    return EXIT_DONE if complete else EXIT_REFUSED_ITEMS


def _parser() -> Any:
    made = config_parser(
        "evaluate",
        "Asks a model the questions of benchmarks, writes its answers, and scores them under every "
        "named convention. Answered questions are not asked again.",
    )
    made.add_argument("--model", type=str, default="", help="model folder, as `fit` writes it")
    made.add_argument(
        "--system_prompt_file",
        type=str,
        default="",
        help="file with a system text in place of the folder's",
    )
    made.add_argument(
        "--other_prompt",
        type=bool,
        default=False,
        help="ask an official checkpoint with another prompt than it was trained with",
    )
    add_endpoint_arguments(made, max_tokens=DEFAULT_MAX_TOKENS)
    made.add_argument(
        "--benchmarks", type=dict[str, str], default={}, help="benchmarks and their folders"
    )
    made.add_argument(
        "--images",
        type=list[Control],
        default=["normal"],
        help="normal: as they are, blank: blank ones, shuffled: exchanged",
    )
    made.add_argument("--out", type=str, default="runs/evaluate", help="folder of the predictions")
    made.add_argument(
        "--run_name", type=str, default="", help="name of the MLflow run; else the model's"
    )
    made.add_argument(
        "--batch_size", type=int, default=32, help="questions asked at once, model folders only"
    )
    made.add_argument("--seed", type=int, default=0, help="seed of the image exchange")
    made.add_argument("--json", action="store_true", help=JSON_HELP)
    return made


def _task(name: str, root: Path) -> Task:
    try:
        return load_task(name, root)
    except InputError as error:
        if name not in CARD_MODULES or not root.is_dir():
            raise
        doctor = f"semihvision doctor {name} --root {root}"
        raise InputError(f"{error}\n`{doctor}` shows the files expected there") from None


def _answerer(arguments: Any, tasks: Sequence[Task]) -> Answerer:
    """Whom to ask; the policy has then allowed all tasks, before any run is opened."""
    if arguments.model:
        from transformers.utils.logging import disable_progress_bar

        from evaluation.local_model import LocalAnswerer

        disable_progress_bar()  # type: ignore[no-untyped-call]
        return LocalAnswerer.load(
            Path(arguments.model),
            system_prompt_file=arguments.system_prompt_file,
            other_prompt=arguments.other_prompt,
            batch_size=arguments.batch_size,
            max_new_tokens=arguments.max_tokens,
        )
    client = make_client(arguments)
    client.require_may_send(task.source for task in tasks)
    return EndpointAnswerer(client)


def _evaluate(
    tasks: Sequence[Task], answerer: Answerer, arguments: Any, on_progress: OnProgress
) -> Iterator[Evaluation]:
    for task in tasks:
        for control in arguments.images:
            yield evaluate_task(
                task,
                answerer,
                Path(arguments.out),
                control=control,
                seed=arguments.seed,
                on_progress=on_progress,
            )


def _print_scores(evaluations: Sequence[Evaluation]) -> None:
    """One table for each benchmark: metrics down, image controls across."""
    for name in dict.fromkeys(one.task.name for one in evaluations):
        columns = [one for one in evaluations if one.task.name == name]
        metrics = columns[0].scored.metrics
        rows = [
            (metric, *(_cell(one.scored.metrics.get(metric)) for one in columns))
            for metric in metrics
        ]
        title = f"{name}, by image control; scores in percent"
        print_table(title, ("metric", *(one.control for one in columns)), rows)


def _cell(value: float | None) -> str:
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.2f}"


def _say_where(tracked: tracking.TrackedRun, evaluations: Sequence[Evaluation]) -> None:
    for one in evaluations:
        stderr.print(f"predictions: {one.file}", markup=False, soft_wrap=True)
        if one.reasons:
            question, reason = next(iter(one.reasons.items()))
            said = f"  {len(one.reasons)} unanswered, e.g. {question}: {reason}"
            stderr.print(said, markup=False, soft_wrap=True)
    stderr.print(f"MLflow: {tracking.ui_command()}", markup=False, soft_wrap=True)
    link = tracking.runs_link(tracked.experiment_id)
    stderr.print(f"runs:   {link}", markup=False, soft_wrap=True)
