"""What `evaluate` asks and how the answers are scored: one `Task` per benchmark.

A new benchmark is one file in `evaluation.benchmarks`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from data_modules import jama, vqa_rad
from data_modules.examples import SPLITS, examples_of
from evaluation.benchmarks import (
    BENCHMARK_MODULES,
    benchmark_module,
    conventions_of,
    load_references,
)
from evaluation.conventions import CONVENTIONS, ScoringRule
from evaluation.jama import cases_of, questions_of, score_jama
from evaluation.questions import Question, hash_questions, question_of
from evaluation.references import Reference
from evaluation.scoring import score_answers
from semihvision.core.errors import InputError, RefusalLog
from semihvision.core.hashing import hash_value
from semihvision.core.record import QA, Record

Answers = Mapping[str, str | None]


class Scored(NamedTuple):
    """Scores of one set of answers.

    Attributes:
        metrics: Flat names (``<convention>/<metric>``, ``n``, ``missing``) and values.
        details: The same with intervals and ids, ready for JSON.
    """

    metrics: dict[str, float]
    details: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Task:
    """One benchmark, read and ready to be asked.

    Attributes:
        name: Its name; the first part of every metric.
        source: Name of its source, which the data-use policy is asked about.
        questions: What is asked. A question whose record was refused is not here, but it counts as
            missing in the scores.
        gold: Gold answer by question id, for people to look at.
        data_hash: SHA-256 over questions, images and gold answers.
        score: Function from answers to scores.
        refused: What could not be read.
    """

    name: str
    source: str
    questions: tuple[Question, ...]
    gold: Mapping[str, str]
    data_hash: str
    score: Callable[[Answers], Scored]
    refused: RefusalLog


def load_task(name: str, root: Path) -> Task:
    """Reads a benchmark from its owner's files.

    Args:
        name: A key of `TASKS`.
        root: Folder in the owner's layout.

    Raises:
        InputError: Unknown benchmark, or files that cannot be used.
    """
    if name not in TASKS:
        raise InputError(f"unknown benchmark {name!r}; known: {', '.join(TASKS)}")
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; expected {name} in its owner's layout")
    return TASKS[name](root)


def vqa_task(
    name: str,
    records: Iterable[Record],
    root: Path,
    *,
    split: str = "test",
    references: Sequence[Reference] | None = None,
    refused: RefusalLog | None = None,
) -> Task:
    """A task of short answers, scored under all conventions.

    Args:
        name: Name of the task.
        records: Records of one source.
        root: Folder of that source.
        split: Only questions of this split are asked.
        references: The owner's references; by default the records' own answers.
        refused: What the reader could not take.

    Raises:
        InputError: No question in that split, or records of several sources.
    """
    kept = list(records)
    questions = []
    own = []
    parts = {f"{record.record_id}#{qa.qa_id}": (record, qa) for record in kept for qa in record.qa}
    for example in examples_of(kept, uses=["qa"]):
        if example.split == SPLITS.get(split, split):
            questions.append(question_of(example, root))
            own.append(_reference(*parts[example.example_id]))
    sources = {question.source for question in questions}
    if len(sources) != 1:
        found = ", ".join(sorted(sources)) or "no question"
        raise InputError(f"{name}: expected questions of one source in {split!r}, found {found}")
    used = own if references is None else references
    gold = {reference.id: reference.answer for reference in used}
    return Task(
        name=name,
        source=sources.pop(),
        questions=tuple(questions),
        gold=gold,
        data_hash=hash_value([hash_questions(questions), gold]),
        score=partial(_score_vqa, used),
        refused=refused or RefusalLog(),
    )


def jama_task(root: Path) -> Task:
    """JAMA-type cases: option chosen, and word overlap with the discussion."""
    refused = RefusalLog()
    records = list(jama.read(root, refused))
    questions, cases = questions_of(records, root), cases_of(records)
    gold = {case.id: case.reference for case in cases}
    if not cases:
        raise InputError(f"{root}: no usable case; {len(refused.items)} were refused")

    def score(answers: Answers) -> Scored:
        metrics = score_jama(cases, answers)
        return Scored(metrics, dict(metrics))

    return Task(
        name="jama",
        source="jama",
        questions=tuple(questions),
        gold=gold,
        data_hash=hash_value([hash_questions(questions), gold]),
        score=score,
        refused=refused,
    )


def benchmark_task(root: Path, *, name: str) -> Task:
    """A task of a benchmark whose module has `questions` and `load`."""
    module, refused = benchmark_module(name), RefusalLog()
    questions = module.questions(root, refused)
    if not questions:
        raise InputError(f"{root}: no usable question; refused: {refused.counts() or 'nothing'}")
    # What cannot be read as a question was refused above; here only the gold answers are wanted.
    references = load_references(name, root, RefusalLog())
    gold = {reference.id: reference.answer for reference in references}
    return Task(
        name=name,
        source=name,
        questions=tuple(questions),
        gold=gold,
        data_hash=hash_value([hash_questions(questions), gold]),
        score=partial(_score_vqa, references, conventions=conventions_of(name)),
        refused=refused,
    )


def _vqa_rad_task(root: Path) -> Task:
    """The owners' test questions; what is wrong in the training table is no matter here."""
    refused = RefusalLog()
    return vqa_task(
        "vqa_rad",
        vqa_rad.read(root, refused, splits=("test",)),
        root,
        references=load_references("vqa_rad", root / "testset.json"),
        refused=refused,
    )


TASKS: Mapping[str, Callable[[Path], Task]] = {
    **{name: partial(benchmark_task, name=name) for name in BENCHMARK_MODULES},
    "vqa_rad": _vqa_rad_task,
    "jama": jama_task,
}
"""Benchmark name -> function that reads its folder."""


def _reference(record: Record, question: QA) -> Reference:
    closed = question.answer_type.strip().upper() == "CLOSED"
    return Reference(
        id=question.qa_id,
        question=question.question,
        answer=question.answer,
        answer_type="CLOSED" if closed else "OPEN",
        question_type=question.question_type,
        image=question.image_ids[0] if question.image_ids else "",
        group=record.group_id,
    )


def _score_vqa(
    references: Sequence[Reference],
    answers: Answers,
    *,
    conventions: Mapping[str, ScoringRule] = CONVENTIONS,
) -> Scored:
    details = score_answers(references, answers, conventions=conventions)
    metrics = dict(_flat(details["conventions"]))
    for subset, scores in details["subsets"].items():
        metrics |= {f"{name}/{subset}": value for name, value in _flat(scores["conventions"])}
    return Scored({**metrics, "n": details["n"], "missing": details["missing"]}, details)


def _flat(conventions: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, float]]:
    for convention, scores in conventions.items():
        for metric in (*scores["n_scored"], "unparsable"):
            if scores.get(metric) is not None:
                yield f"{convention}/{metric}", scores[metric]
