"""MMMU's questions as rows: of the hub's tables, of a model's outputs, of the list of golds."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from data_modules.cells import literal
from evaluation.options import LETTERS
from evaluation.references import Reference
from semihvision.core.errors import InputError
from semihvision.core.json_files import read_json

SUBJECTS = (
    "Basic_Medical_Science", "Clinical_Medicine", "Diagnostics_and_Laboratory_Medicine",
    "Pharmacy", "Public_Health",
)  # fmt: skip

_ID = re.compile(r"validation_(.+)_\d+")


def subject_of(row: Mapping[str, Any]) -> str:
    """The subject of a row, by its id.

    Raises:
        InputError: The id has another form; it is not quoted.
    """
    found = _ID.fullmatch(str(row.get("id")))
    if found is None:
        raise InputError("id: expected validation_<Subject>_<number>", kind="invalid_row")
    return found[1]


def json_rows(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Place and row of every question, in whichever of the two layouts this is.

    Raises:
        InputError: It is neither, or unreadable.
    """
    document = read_json(file)
    if isinstance(document, dict):
        document = [
            {**value, "id": name} if isinstance(value, dict) else {"id": name}
            for name, value in document.items()
        ]
    if not isinstance(document, list):
        raise InputError(f"{file}: expected an array of rows, or id -> ground_truth")
    for number, row in enumerate(document):
        yield f"row {number}", row if isinstance(row, dict) else {}


def reference_of(row: Mapping[str, Any]) -> Reference:
    """One question of any of the layouts.

    Raises:
        InputError: Names the field, never its content.
    """
    subject, golds = subject_of(row), _golds(row)
    options: Sequence[str] = ()
    letter = ""
    if row.get("question_type") == "multiple-choice":
        letter, options = golds[0], _options(row)
        if letter not in tuple(LETTERS[: len(options)]):
            raise InputError("the gold is not the letter of an option", kind="answer")
    elif row.get("question_type") not in ("short-answer", "open"):
        raise InputError(
            "question_type: expected multiple-choice, short-answer or open", kind="invalid_row"
        )
    return Reference(
        id=str(row["id"]),
        question=str(row.get("question", "")),
        answer=golds[0],
        answer_type="CLOSED" if letter else "OPEN",
        question_type=str(row["question_type"]),
        image="",
        group=str(row["id"]),
        options=tuple(options),
        letter=letter,
        alternatives=tuple(golds[1:]),
        subsets=(subject,),
    )


def _golds(row: Mapping[str, Any]) -> list[str]:
    gold = row.get("ground_truth", row.get("answer"))
    if isinstance(gold, str) and gold.startswith("[") and "options" in row:
        gold = literal(gold)
    golds = gold if isinstance(gold, list) else [gold]
    if not golds or not all(isinstance(one, str) and one.strip() for one in golds):
        raise InputError("the gold: expected text or a list of texts", kind="invalid_row")
    return golds


def _options(row: Mapping[str, Any]) -> list[str]:
    """Texts of the options; empty texts where only letters are known."""
    if "index2ans" in row:
        by_letter, letters = row["index2ans"], row.get("all_choices")
        if not isinstance(by_letter, dict) or letters != list(LETTERS[: len(by_letter)]):
            raise InputError("index2ans: expected options by letter from A", kind="invalid_row")
        options = [by_letter.get(letter) for letter in letters]
    elif "options" in row:
        options = literal(str(row["options"])) or []
    else:
        return [""] * len(LETTERS)
    if not isinstance(options, list) or not all(isinstance(one, str) for one in options):
        raise InputError("options: expected a list of texts", kind="invalid_row")
    return options
