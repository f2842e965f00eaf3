"""`semihvision quickstart`: the whole job on demo data, offline, on a CPU, in one process."""

import os
import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from semihvision.cli.output import counts_in_text, print_json, print_table, stderr
from semihvision.cli.parsing import JSON_HELP, parser
from semihvision.cli.quickstart_steps import (
    CASES,
    DATA_STEPS,
    STAGES,
    Workspace,
    demo_permissions,
    save_untrained,
    train_stage,
)
from semihvision.core.errors import EXIT_DONE, EXIT_REFUSED_ITEMS, InputError
from semihvision.core.json_files import read_json

if TYPE_CHECKING:
    from semihvision.cli.quickstart_evaluation import ModelScores
    from semihvision.llm.client import LLMClient

MARKER = ".semihvision-quickstart"
"""Stands in a folder that quickstart made and may therefore rename."""

TRAINED = f"stage{STAGES[-1]}"
NUM_STEPS = len(DATA_STEPS) + len(STAGES) + 2


def run(argv: list[str]) -> int:
    """Runs every step and prints what came of it."""
    made = parser(
        "quickstart",
        f"Draws phantoms in the layout of {len(CASES)} sources (JAMA's cases only to be tested "
        "on), then prepares, indexes, annotates, trains the tiny model in three stages, evaluates "
        "and judges. Offline unless a language model is named. Every quickstart begins anew; the "
        "files of an earlier one are kept beside it, in OUT-previous-1 and so on.",
    )
    made.add_argument(
        "--out",
        type=str,
        default="runs/quickstart",
        help="folder for all files; an earlier quickstart's is renamed, not emptied",
    )
    made.add_argument("--seed", type=int, default=0, help="seed of data, weights and sample order")
    made.add_argument(
        "--llm",
        metavar="MODEL",
        type=str,
        default="",
        help="language model that annotates and judges",
    )
    made.add_argument(
        "--base-url", metavar="URL", type=str, default="", help="its OpenAI-compatible endpoint"
    )
    made.add_argument("--json", action="store_true", help=JSON_HELP)
    arguments = made.parse_args(argv)
    started = time.monotonic()
    client = _client(arguments)
    work = Workspace(out=_fresh(Path(arguments.out)), seed=arguments.seed, client=client)
    steps = _Steps()
    for title, step in DATA_STEPS.items():
        with steps.next(title):
            steps.say(step(work))
    losses = {}
    for stage in STAGES:
        with steps.next(f"train stage {stage}"):
            losses[stage] = train_stage(work, stage)
            steps.say("training loss {:.2f} -> {:.2f}".format(*losses[stage]))
    document = _evaluate(work, steps)
    document |= {
        "seed": work.seed,
        "loss": {f"stage{stage}": {"first": a, "last": b} for stage, (a, b) in losses.items()},
        "refused": work.refused,
        "model": str(work.model(TRAINED)),
        "try_command": _try_command(work),
        "seconds": round(time.monotonic() - started, 1),
    }
    if arguments.json:
        print_json(document)
    else:
        _print_summary(document)
    _say_where(document)
    return EXIT_REFUSED_ITEMS if work.refused else EXIT_DONE


def _client(arguments: Any) -> "LLMClient | None":
    """The language model where one is named; a key or an address alone sends nothing anywhere."""
    if not arguments.llm:
        if arguments.base_url:
            raise InputError("--base-url names an endpoint but no model: add --llm MODEL")
        if os.environ.get("OPENAI_API_KEY"):
            stderr.print("OPENAI_API_KEY is set but unused: name a model with --llm MODEL")
        return None
    from semihvision.llm.client import LLMClient
    from semihvision.llm.exchange import LLMSettings

    settings = LLMSettings(model=arguments.llm, base_url=arguments.base_url)
    return LLMClient(settings, demo_permissions(LLMClient(settings).endpoint))


def _fresh(out: Path) -> Path:
    """The output folder, empty; what an earlier quickstart left in it is kept beside it."""
    if out.exists() and any(out.iterdir()):
        if not (out / MARKER).is_file():
            raise InputError(f"{out} holds files that are not quickstart's; choose another --out")
        if Path.cwd().is_relative_to(out.resolve()):
            raise InputError(
                f"{out} cannot be renamed from inside: run quickstart from another folder"
            )
        numbers = (out.with_name(f"{out.name}-previous-{n}") for n in count(1))
        kept = next(folder for folder in numbers if not folder.exists())
        out.rename(kept)
        stderr.print(f"the earlier {out} is kept as {kept}", markup=False, soft_wrap=True)
    out.mkdir(parents=True, exist_ok=True)
    (out / MARKER).touch()
    return out


class _Steps:
    """Says on standard error which step is running, what it did, and how long it took."""

    def __init__(self) -> None:
        self._number = 0

    @contextmanager
    def next(self, title: str) -> Iterator[None]:
        """Announces a step and times it."""
        self._number += 1
        stderr.rule(f"[{self._number}/{NUM_STEPS}] {title}", align="left")
        started = time.monotonic()
        yield
        stderr.print(f"({time.monotonic() - started:.0f} s)")

    def say(self, text: str) -> None:
        """One line about what was done."""
        stderr.print(text, markup=False, soft_wrap=True)


def _evaluate(work: Workspace, steps: _Steps) -> dict[str, Any]:
    """Untrained and trained model, image controls, blind baselines."""
    from semihvision import tracking
    from semihvision.cli.quickstart_evaluation import blind_baselines, demo_task, evaluate_model

    with steps.next("evaluate and judge the untrained model"):
        save_untrained(work)
        untrained = evaluate_model(work, "untrained", ["normal"])
        steps.say(_one_line(untrained))
    with steps.next("evaluate and judge the trained model"):
        trained = evaluate_model(work, TRAINED, ["normal", "blank", "shuffled"])
        steps.say(_one_line(trained))
    experiment = tracking.ensure_experiment(tracking.EVALUATE)
    return {
        "demo_vqa_questions": len(demo_task(work).questions),
        "untrained": untrained._asdict(),
        "trained": trained._asdict(),
        "blind": blind_baselines(work),
        "mlflow": {
            "uri": tracking.tracking_uri(),
            "ui_command": tracking.ui_command(),
            "runs": tracking.runs_link(experiment),
            "compare": tracking.compare_link([untrained.run_id, trained.run_id], experiment),
        },
    }


def _try_command(work: Workspace) -> str:
    """A question to the trained model, about an unseen phantom."""
    root, model = work.root("vqa_rad"), work.model(TRAINED)
    asked = read_json(root / "testset.json")[0]
    image = root / "images" / asked["image_name"]
    argv = ["chat", "--model", str(model), "--image", str(image), "--ask", asked["question"]]
    return f"semihvision {shlex.join(argv)}"


def _one_line(scores: "ModelScores") -> str:
    return ", ".join(f"{control} images {value:.1f} %" for control, value in scores.vqa.items())


def _print_summary(document: dict[str, Any]) -> None:
    loss = [
        (f"stage {name[-1]}", f"{v['first']:.2f}", f"{v['last']:.2f}")
        for name, v in document["loss"].items()
    ]
    print_table("Training loss (first and last quarter)", ("stage", "first", "last"), loss)
    trained, untrained = document["trained"], document["untrained"]
    rows = [("untrained model", untrained["vqa"]["normal"])]
    rows += [(f"trained model, {c} images", value) for c, value in trained["vqa"].items()]
    rows += list(document["blind"].items())
    print_table(
        f"Accuracy on {document['demo_vqa_questions']} questions about unseen phantoms",
        ("who answers", "%"),
        [(who, f"{value:.1f}") for who, value in rows],
    )
    shown = (
        "lexical_score",
        "judge_score",
        "key_points",
        "inference",
        "evidence",
        "accuracy",
        "unscored",
    )
    jama = [
        (
            f"jama/{name}",
            *(f"{m['jama'][name]:.2f}" if name in m["jama"] else "-" for m in (untrained, trained)),
        )
        for name in shown
        if name in trained["jama"]
    ]
    print_table("Demo cases in JAMA's form", ("score", "untrained", "trained"), jama)


def _say_where(document: dict[str, Any]) -> None:
    mlflow = document["mlflow"]
    for step, counts in document["refused"].items():
        stderr.print(f"refused in {step}: {counts_in_text(counts)}", markup=False)
    lines = (
        f"model folder  {document['model']}",
        f"try it        {document['try_command']}",
        f"MLflow store  {mlflow['uri']}",
        f"look at it    {mlflow['ui_command']}",
        f"compare page  {mlflow['compare']}",
        f"took          {document['seconds']:.0f} s",
    )
    for line in lines:
        stderr.print(line, markup=False, soft_wrap=True)
