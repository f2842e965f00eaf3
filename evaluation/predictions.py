"""Prediction files: read published and own ones, join them to references by id, write own ones."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from evaluation.references import Reference
from semihvision.core.errors import InputError, RefusalLog
from semihvision.core.files import write_text_atomically
from semihvision.core.json_files import parse_json, read_text

_MAX_NAMED = 10


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """One line of our own predictions file.

    Attributes:
        id: The benchmark's id of the question.
        answer: The model's answer; None where it gave none (it counts as missing).
        num_tokens: Number of generated tokens, the end token included.
        reason: Why there is no answer, without any content of the question; empty if there is one.
    """

    id: str
    answer: str | None
    num_tokens: int | None = None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class PredictionFile:
    """What a predictions file holds.

    Attributes:
        path: Where it was read.
        answers: Answer by id; None where the answer is null or no text.
        refused: Rows that could not be used, each with its reason.
    """

    path: Path
    answers: Mapping[str, str | None]
    refused: RefusalLog = field(default_factory=RefusalLog)


def prediction_line(prediction: Prediction, made_by: str) -> str:
    """One line of a predictions file: id, answer, num_tokens, reason, and what it was made by.

    Args:
        prediction: The answer.
        made_by: Stamp of everything the answer depends on; never read when scoring.
    """
    return json.dumps({**asdict(prediction), "made_by": made_by}, ensure_ascii=False) + "\n"


def write_predictions(path: Path, predictions: Iterable[Prediction], *, made_by: str) -> None:
    """Writes a predictions file, which replaces an older one only when it is complete.

    Args:
        path: The file.
        predictions: What it shall hold, in this order.
        made_by: See `prediction_line`.
    """
    write_text_atomically(path, "".join(prediction_line(one, made_by) for one in predictions))


def read_predictions(path: Path) -> PredictionFile:
    """Reads a JSON list or JSON lines of ``{"id" or "qid": ..., "answer": ...}``.

    Also as published: MMMU's rows, whose ``response`` is the answer (``answer`` is the gold there),
    its object of id -> answer, and MediConfusion's object of pair -> answers to two images, which
    get the ids ``<pair>/im1`` and ``<pair>/im2``.

    Ids and answers may be text or integers; further fields are ignored. A broken line or a row
    without an id is refused. A row whose answer is null, absent or no text is refused too, and its
    question is missing. So is an id that occurs twice: which answer is meant cannot be known. An
    empty answer is an answer.

    Raises:
        InputError: The file is unreadable or holds no row with an id.
    """
    refused = RefusalLog()
    answers: dict[str, str | None] = {}
    repeated: set[str] = set()
    for place, row in _rows(path, refused):
        try:
            prediction_id = _id(row)
        except ValueError as error:
            refused.add(place, reason=str(error), kind="no_id", file=str(path))
            continue
        if prediction_id in answers:
            answers[prediction_id] = None
            if prediction_id not in repeated:
                reason = "more than one prediction; its question counts as missing: keep one"
                refused.add(prediction_id, reason=reason, kind="repeated_id", file=str(path))
            repeated.add(prediction_id)
            continue
        answers[prediction_id] = answer = _answer(row)
        if answer is None:
            reason = "answer is null, absent or no text; its question counts as missing"
            refused.add(prediction_id, reason=reason, kind="no_answer", file=str(path))
    if not answers:
        raise InputError(
            f'{path}: no usable prediction; expected rows {{"id" or "qid": ..., "answer": ...}}, '
            "as a JSON list or one object a line"
        )
    return PredictionFile(path=path, answers=answers, refused=refused)


def match_ids(predictions: PredictionFile, references: Sequence[Reference]) -> PredictionFile:
    """The predictions for questions that the references hold; each other one is refused.

    Raises:
        InputError: Not one prediction is for a known question; names the file and the first ten.
    """
    known = {reference.id for reference in references}
    unknown = [name for name in predictions.answers if name not in known]
    if len(unknown) == len(predictions.answers):
        raise InputError(
            f"{predictions.path}: {len(unknown)} of {len(predictions.answers)} predictions are for "
            f"unknown ids: {_named(unknown)}. Are these the references they were made for?"
        )
    refused = RefusalLog(list(predictions.refused.items))
    for name in unknown:
        reason = "a prediction for a question that the references do not hold"
        refused.add(name, reason=reason, kind="unknown_id", file=str(predictions.path))
    answers = {name: answer for name, answer in predictions.answers.items() if name in known}
    return replace(predictions, answers=answers, refused=refused)


def _rows(path: Path, refused: RefusalLog) -> Iterator[tuple[str, Any]]:
    """Rows with their place in the file; broken lines are refused."""
    text = read_text(path)
    if text.lstrip().startswith("["):
        try:
            rows = parse_json(text)
        except ValueError as error:
            raise InputError(f"{path}: not JSON: {error}") from None
        yield from ((f"row {number}", row) for number, row in enumerate(rows, start=1))
        return
    document = _object(text)
    if document is not None:
        yield from _published_rows(document)
        return
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = parse_json(line)
        except ValueError as error:
            reason = f"not JSON: {error}"
            refused.add(f"line {number}", reason=reason, kind="broken_json", file=str(path))
        else:
            yield f"line {number}", row


def _object(text: str) -> dict[str, Any] | None:
    """The object a text is, if it is one of the published forms and no row."""
    try:
        document = parse_json(text)
    except ValueError:
        return None
    if not isinstance(document, dict) or {"id", "qid"} & document.keys():
        return None
    published = any(_text(value) is not None or _has_both(value) for value in document.values())
    return document if published else None


def _has_both(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("answer"), dict)


def _published_rows(document: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in document.items():
        if _has_both(value):
            for image in ("im1", "im2"):
                said = value["answer"].get(image)
                answer = said.get("full_answer") if isinstance(said, dict) else None
                yield name, {"id": f"{name}/{image}", "answer": answer}
        else:
            yield name, {"id": name, "answer": value}


def _id(row: Any) -> str:
    if not isinstance(row, dict):
        raise ValueError("expected an object with id (or qid) and answer")
    values = {_text(row[name]) for name in ("id", "qid") if name in row}
    if len(values) != 1 or None in values or "" in values:
        raise ValueError("expected one id, text or integer, in the field id or qid")
    return str(values.pop())


def _answer(row: dict[str, Any]) -> str | None:
    return _text(row["response"] if "response" in row else row.get("answer"))


def _text(value: Any) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) else None


def _named(ids: Sequence[str]) -> str:
    more = f" and {len(ids) - _MAX_NAMED} more" if len(ids) > _MAX_NAMED else ""
    return ", ".join(ids[:_MAX_NAMED]) + more
