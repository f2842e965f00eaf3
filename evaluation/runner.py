"""Asking and scoring: a predictions file for each task and control, and scores from the file.

An answer is written as soon as it is there, with a stamp of everything it depends on; a later run
with the same stamp does not ask again.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from evaluation.answerers import Answerer
from evaluation.controls import CONTROLS
from evaluation.predictions import Prediction, prediction_line, write_predictions
from evaluation.questions import Question, hash_questions
from evaluation.tasks import Scored, Task
from semihvision.core.errors import InputError
from semihvision.core.hashing import hash_file, hash_value
from semihvision.core.json_files import parse_json, read_text

_STAMP_CHARACTERS = 16

OnProgress = Callable[[str, int, int], None]
"""Called with a label, the number of answers so far, and the number of questions."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """One task under one control.

    Attributes:
        task: What was asked.
        control: Name of the image control.
        file: Predictions file.
        answers: Answer by question id; None where there is none.
        reasons: Why there is none, by question id.
        scored: The scores.
        asked: Questions that were asked in this run; the others were answered before.
    """

    task: Task
    control: str
    file: Path
    answers: Mapping[str, str | None]
    reasons: Mapping[str, str]
    scored: Scored
    asked: int

    @property
    def name(self) -> str:
        """First part of its metrics: ``vqa_rad``, or ``vqa_rad_blank`` under a control."""
        return self.task.name if self.control == "normal" else f"{self.task.name}_{self.control}"

    @property
    def metrics(self) -> dict[str, float]:
        """``<name>/<convention>/<metric>``, ``<name>/n``, ``<name>/missing``."""
        return {f"{self.name}/{metric}": value for metric, value in self.scored.metrics.items()}

    @property
    def summary(self) -> dict[str, Any]:
        """For JSON; no text of any question or answer."""
        return {
            "benchmark": self.task.name,
            "images": self.control,
            "predictions": str(self.file),
            "predictions_sha256": hash_file(self.file),
            "data_hash": self.task.data_hash,
            "asked": self.asked,
            "unanswered": dict(self.reasons),
            "scores": self.scored.details,
        }


def evaluate_task(
    task: Task,
    answerer: Answerer,
    out: Path,
    *,
    control: str = "normal",
    seed: int = 0,
    on_progress: OnProgress | None = None,
) -> Evaluation:
    """Asks what has not been answered yet, and scores everything.

    Args:
        task: What to ask.
        answerer: Whom.
        out: Folder of the predictions file ``<task>.<control>.jsonl``.
        control: Name of an image control.
        seed: Seed of the control.
        on_progress: For a progress display.

    Raises:
        InputError: Unknown control, or an id that occurs twice among the questions.
        PolicyError: The task's source may not go to this answerer; nothing was sent.
    """
    if control not in CONTROLS:
        raise InputError(f"unknown image control {control!r}; known: {', '.join(CONTROLS)}")
    questions = CONTROLS[control](task.questions, seed)
    if len({question.id for question in questions}) < len(questions):
        raise InputError(f"{task.name}: question ids occur more than once")
    stamp = hash_value([dict(answerer.identity), hash_questions(questions)])[:_STAMP_CHARACTERS]
    file = out / f"{task.name}.{control}.jsonl"
    found = {**_resume(file, stamp, questions)}
    missing = [question for question in questions if question.id not in found]
    label = f"{task.name}, {control} images"
    with file.open("a", encoding="utf-8") as stream:

        def note(answer: Prediction) -> None:
            stream.write(prediction_line(answer, stamp))
            stream.flush()
            found[answer.id] = answer
            if on_progress is not None:
                on_progress(label, len(found), len(questions))

        if missing:
            answerer.answer(missing, note)
    answers = {name: answer.answer for name, answer in found.items()}
    return Evaluation(
        task=task,
        control=control,
        file=file,
        answers=answers,
        reasons={name: answer.reason for name, answer in found.items() if answer.answer is None},
        scored=task.score(answers),
        asked=len(missing),
    )


def _resume(file: Path, stamp: str, questions: Sequence[Question]) -> dict[str, Prediction]:
    """Usable answers of an earlier run; the file is left with these and nothing else.

    Answers of another model, setting or set of questions are moved to
    ``<file>.<their stamp>.jsonl``, or with a number where such a file is there already.
    """
    rows = list(_rows(file)) if file.is_file() else []
    others = {row["made_by"] for row in rows} - {stamp}
    if others:
        file.rename(_free_name(file, min(others)))
    wanted = {question.id for question in questions}
    kept = {
        row["id"]: Prediction(**{name: row[name] for name in Prediction.__dataclass_fields__})
        for row in rows
        if row["made_by"] == stamp and row["id"] in wanted and row["answer"] is not None
    }
    write_predictions(file, kept.values(), made_by=stamp)
    return kept


def _free_name(file: Path, stamp: str) -> Path:
    """Where to move a file of that stamp; never a file that is there."""
    candidate = file.with_name(f"{file.stem}.{stamp}.jsonl")
    for number in count(2):
        if not candidate.exists():
            break
        candidate = file.with_name(f"{file.stem}.{stamp}.{number}.jsonl")
    return candidate


def _rows(file: Path) -> Iterator[dict[str, Any]]:
    """Rows of an own predictions file; a last line that a kill cut off is left out."""
    lines = read_text(file).split("\n")
    fields = {*Prediction.__dataclass_fields__, "made_by"}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = parse_json(line)
        except ValueError:
            row = None
        if isinstance(row, dict) and fields <= row.keys():
            yield row
        elif number < len(lines):
            raise InputError(
                f"{file}, line {number}: not written by `evaluate`; move this file away"
            )
