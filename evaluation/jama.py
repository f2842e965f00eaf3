"""JAMA-type cases: a vignette, four options, and a discussion that answers are compared with.

Here is what needs no judge: which option was chosen, and how many words of the answer stand in the
discussion. Both are scored over all cases; text-only cases are counted and scored apart as well.

Source: paper.md section 3. That accuracy counts a case without an answer, and one whose answer
names no option, as wrong is our choice (as for the VQA benchmarks).
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from data_modules import jama
from data_modules.examples import examples_of
from evaluation.options import LETTERS, chosen_option, words_of
from evaluation.prompts import load_prompt
from evaluation.questions import Question, question_of
from semihvision.core.batch import Turn
from semihvision.core.errors import InputError, RefusalLog
from semihvision.core.parquet import read_records
from semihvision.core.record import Record, question_text

_STOP_WORDS_TEXT = """
a an and are as at be been but by for from had has have if in is it its no not of on or such than
that the their then there these they this to was were which while with would
"""
_STOP_WORDS = frozenset(_STOP_WORDS_TEXT.split())


@dataclass(frozen=True, kw_only=True)
class JamaCase:
    """One case, as the judge needs it.

    Attributes:
        id: The owner's id; predictions are joined by it.
        source: Name of the source, which the data-use policy is asked about.
        question: Vignette, question and lettered options.
        options: Texts of the options.
        answer: Place of the right option in `options`.
        discussion: The owner's discussion; empty where there is none, and then nothing can be
            judged.
        has_images: False for a text-only case.
    """

    id: str
    source: str
    question: str
    options: tuple[str, ...]
    answer: int
    discussion: str
    has_images: bool

    @property
    def reference(self) -> str:
        """The reference answer: the right option, then the discussion."""
        return f"{LETTERS[self.answer]}. {self.options[self.answer]}\n\n{self.discussion}"


def read_case_records(path: Path, refused: RefusalLog) -> list[Record]:
    """Records of cases, from a folder in JAMA's layout or from Parquet.

    Raises:
        InputError: The path is neither, or holds no case with options.
    """
    records = jama.read(path, refused) if path.is_dir() else read_records(path)
    found = [record for record in records if any(question.options for question in record.qa)]
    if not found:
        raise InputError(
            f"{path}: no case with options; expected a folder with jama.jsonl, or Records of one"
        )
    return found


def cases_of(records: Iterable[Record]) -> list[JamaCase]:
    """The cases of records that have a question with options."""
    cases = []
    for record in records:
        question = next(question for question in record.current(record.qa) if question.options)
        texts = [text.text for text in record.current(record.texts) if text.kind == "discussion"]
        cases.append(
            JamaCase(
                id=_case_id(record),
                source=record.source,
                question=question_text(question),
                options=question.options,
                answer=question.options.index(question.answer),
                discussion="\n\n".join(texts),
                has_images=bool(question.image_ids),
            )
        )
    return cases


def questions_of(records: Sequence[Record], root: Path) -> list[Question]:
    """What a model is asked: images, case, options, and the request to choose and to explain."""
    request = load_prompt("jama_answer").text
    by_id = {record.record_id: _case_id(record) for record in records}
    questions = []
    for example in examples_of(records, uses=["qa"]):
        case_id = by_id[example.example_id.rpartition("#")[0]]
        question = question_of(example, root, question_id=case_id)
        *before, last = question.turns
        turns = (*before, Turn(last.role, f"{last.text}\n\n{request}"))
        questions.append(replace(question, turns=turns))
    return questions


def _case_id(record: Record) -> str:
    return record.record_id.removeprefix(f"{record.source}/")


def lexical_score(answer: str, discussion: str) -> float:
    """Word overlap of an answer with a discussion: F1 over counted content words, in percent.

    A stand-in that needs no model. It knows nothing of meaning (a negation costs it nothing), so it
    is never reported as a judge's score.

    Args:
        answer: The model's whole answer.
        discussion: The owner's discussion.
    """
    given = Counter(word for word in words_of(answer) if word not in _STOP_WORDS)
    wanted = Counter(word for word in words_of(discussion) if word not in _STOP_WORDS)
    shared = (given & wanted).total()
    return 100 * 2 * shared / (given.total() + wanted.total()) if shared else 0.0


def score_jama(cases: Sequence[JamaCase], answers: Mapping[str, str | None]) -> dict[str, float]:
    """Scores that need no judge.

    Args:
        cases: All cases.
        answers: Answer by case id; no entry or None counts as wrong and as overlap 0.

    Returns:
        ``accuracy`` (percent; also ``accuracy_with_images`` and ``accuracy_text_only`` where there
        are such cases), ``lexical_score`` (percent, over cases with a discussion), ``n``,
        ``n_with_images``, ``n_text_only``, ``missing`` (no answer), ``no_option`` (the answer names
        none or several).
    """
    hits: dict[str, list[float]] = {"": [], "_with_images": [], "_text_only": []}
    overlaps, missing, no_option = [], 0, 0
    for case in cases:
        answer = answers.get(case.id)
        choice = None if answer is None else chosen_option(answer, case.options)
        missing += answer is None
        no_option += answer is not None and choice is None
        for kind in ("", "_with_images" if case.has_images else "_text_only"):
            hits[kind].append(100.0 * (choice == case.answer))
        if case.discussion:
            overlaps.append(lexical_score(answer or "", case.discussion))
    means = {f"accuracy{kind}": _mean(values) for kind, values in hits.items() if values}
    if overlaps:
        means["lexical_score"] = _mean(overlaps)
    return means | {
        "n": len(cases),
        "n_with_images": len(hits["_with_images"]),
        "n_text_only": len(hits["_text_only"]),
        "missing": missing,
        "no_option": no_option,
    }


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
