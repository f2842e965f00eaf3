"""VQA-RAD: questions about radiology images, written and answered by clinicians (CC0 1.0).

Layout: ``trainset.json`` (3,064 questions) and ``testset.json`` (451), each a list of objects with
qid, image_name, answer, answer_type, question_type, question and more. All 203 test images occur in
the training set too: the owners split by question. Intervals are clustered on the image.

Source: Lau et al., "A dataset of clinically generated visual questions and answers about radiology
images", Scientific Data 5 (2018).
"""

from pathlib import Path
from typing import Any, cast

from evaluation.conventions import CONVENTIONS
from evaluation.references import AnswerType, Reference
from semihvision.core.errors import InputError, RefusalLog
from semihvision.core.json_files import read_json
from semihvision.core.reasons import json_kind

__all__ = ["CONVENTIONS", "load"]

_MAX_NAMED = 10


def load(path: Path, refused: RefusalLog) -> list[Reference]:
    """Reads ``testset.json`` or ``trainset.json``; of a folder ``testset.json``.

    Cleaning: "CLOSED " (two training rows) loses its blank, integer answers (ten training rows)
    become text. Nothing else is changed; question types stay as misspelt as they are.

    Args:
        path: One of the owners' two files, or their folder.
        refused: Not used: every question of this benchmark must count.

    Returns:
        One reference per row, in the file's order.

    Raises:
        InputError: The file is not a list of rows, or rows are malformed or share an id; the first
            ten are named by number (from 1), never by content.
    """
    path = path / "testset.json" if path.is_dir() else path
    rows = read_json(path)
    if not isinstance(rows, list) or not rows:
        raise InputError(f"{path}: expected a JSON list of questions, as in VQA-RAD's testset.json")
    references: list[Reference] = []
    problems: list[str] = []
    first_row: dict[str, int] = {}
    for number, row in enumerate(rows, start=1):
        try:
            reference = _reference(row)
        except ValueError as error:
            problems.append(f"row {number}: {error}")
            continue
        earlier = first_row.setdefault(reference.id, number)
        if earlier != number:
            problems.append(f"row {number}: qid {reference.id} stands in row {earlier} already")
        references.append(reference)
    if problems:
        named = "; ".join(problems[:_MAX_NAMED])
        raise InputError(
            f"{path}: {len(problems)} of {len(rows)} rows cannot be used: {named}. "
            "Repair the file: every question must count"
        )
    return references


def _reference(row: Any) -> Reference:
    """One row; raises ValueError with what was expected, without the row's text."""
    if not isinstance(row, dict):
        raise ValueError("expected an object")
    answer_type = _text(row, "answer_type").strip()
    if answer_type not in ("CLOSED", "OPEN"):
        raise ValueError("answer_type: expected CLOSED or OPEN")
    image = _text(row, "image_name")
    return Reference(
        id=_text(row, "qid"),
        question=_text(row, "question"),
        answer=_text(row, "answer"),
        answer_type=cast(AnswerType, answer_type),
        question_type=_text(row, "question_type"),
        image=image,
        group=image,
    )


def _text(row: dict[str, Any], field: str) -> str:
    value = row.get(field)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str) or not value.strip():
        found = "an empty text" if isinstance(value, str) else json_kind(value)
        raise ValueError(f"{field}: expected non-empty text or an integer, found {found}")
    return value
