"""What an evaluation leaves in MLflow: metrics, tags, intervals, and a table of samples."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from PIL import Image

from evaluation.judge import PROMPTS, Judgement
from evaluation.prompts import load_prompt
from evaluation.questions import Question
from evaluation.runner import Evaluation
from semihvision import tracking
from semihvision.core.batch import IMAGE_PLACEHOLDER
from semihvision.core.card import card
from semihvision.core.errors import InputError
from semihvision.core.hashing import hash_value
from semihvision.tracking import TrackedRun

NUM_SAMPLES = 24
THUMBNAIL_PX = 128


def log_evaluations(run: TrackedRun, evaluations: Sequence[Evaluation]) -> None:
    """Logs all scores in one call, intervals and hashes, and samples where they may be shown.

    Tags: ``data_hash`` over all tasks, and one ``data_hash.<task>`` each.
    """
    hashes = {f"data_hash.{one.task.name}": one.task.data_hash for one in evaluations}
    run.set_tags({**hashes, "data_hash": hash_value(hashes)})
    run.log_metrics({name: value for one in evaluations for name, value in one.metrics.items()})
    run.log_document("scores.json", {one.name: one.summary for one in evaluations})
    by_task: dict[str, list[Evaluation]] = {}
    for one in evaluations:
        by_task.setdefault(one.task.name, []).append(one)
    for name, of_task in by_task.items():
        if may_show(of_task[0].task.source):
            run.log_table(f"samples_{name}", sample_table(of_task))


def log_judgement(run: TrackedRun, judgement: Judgement) -> None:
    """Logs a judge's scores with everything they must be read with."""
    run.set_tags(judgement.tags)
    run.log_metrics({f"jama/{name}": value for name, value in judgement.metrics.items()})
    spent = {
        "judge/tokens_in": judgement.tokens_in,
        "judge/tokens_out": judgement.tokens_out,
        "judge/cost_usd": judgement.cost_usd,
    }
    run.log_metrics({name: value for name, value in spent.items() if value is not None})
    prompts = [load_prompt(name) for name in PROMPTS]
    run.log_document("judge_prompts.json", {prompt.name: prompt.text for prompt in prompts})


def may_show(source: str) -> bool:
    """Whether samples of a source may stand in the tracker.

    Only in a store on this machine, and only where the card does not forbid passing data on: people
    share the folder of a store more easily than a data set.
    """
    return tracking.is_local() and card(source).redistribution != "no"


def sample_table(evaluations: Sequence[Evaluation]) -> dict[str, list[Any]]:
    """Up to `NUM_SAMPLES` questions, evenly spread, with gold and every control's answer.

    Args:
        evaluations: Of one task; the pictures are those of the task itself.
    """
    task = evaluations[0].task
    step = max(1, len(task.questions) // NUM_SAMPLES)
    shown = task.questions[::step][:NUM_SAMPLES]
    columns: dict[str, list[Any]] = {
        "id": [question.id for question in shown],
        "image": [_thumbnail(question) for question in shown],
        "question": [
            question.turns[-1].text.replace(IMAGE_PLACEHOLDER, "").strip() for question in shown
        ],
        "gold": [task.gold.get(question.id, "") for question in shown],
    }
    for one in evaluations:
        columns[f"answer, {one.control} images"] = [
            one.answers.get(question.id) or "" for question in shown
        ]
    return columns


def _thumbnail(question: Question) -> Image.Image:
    """The first picture, small; a blank one for a question without a readable picture."""
    image = Image.new("RGB", (1, 1))
    if question.pictures:
        with suppress(InputError):
            image = question.pictures[0].read()
    image.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX))
    return image
