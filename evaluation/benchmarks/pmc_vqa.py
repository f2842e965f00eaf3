"""PMC-VQA's test questions: four options about figures (layout: `data_modules.pmc_vqa`).

``test.csv`` with its cleaned part ``test_clean.csv`` (2,000 questions, general knowledge), or
``test_2.csv`` of the second generation. The owners give no ids: a question's id is
``<table>/<line>``, the line of the file, as in the Records. Of a folder ``test.csv`` is read, and
those of ``test_clean.csv`` are subset ``test_clean``. Intervals are clustered on the figure.
"""

from dataclasses import replace
from pathlib import Path

from data_modules import pmc_vqa
from data_modules.pmc_vqa_rows import CHOICES, LETTERS, TABLES, question_of_row
from evaluation.conventions import CHOICE_CONVENTIONS as CONVENTIONS
from evaluation.questions import Question, questions_of_records
from evaluation.references import Reference
from semihvision.core.errors import InputError, RefusalLog
from semihvision.core.record import QA
from semihvision.core.tables import csv_rows, required_file

__all__ = ["CONVENTIONS", "load", "questions"]

CLEAN = "test_clean"
_COLUMNS = ("Figure_path", "Question", *CHOICES)
_Key = tuple[str, str, tuple[str, ...]]


def load(path: Path, refused: RefusalLog) -> list[Reference]:
    """Reads questions and golds.

    Args:
        path: One of the owners' tables, or their folder.
        refused: Gets rows that cannot be used.

    Raises:
        InputError: The table is missing or lacks a column.
    """
    if path.is_file():
        return list(_table(path, refused).values())
    found = _table(required_file(path, "test.csv", "test_2.csv", "test2.csv"), refused)
    clean = path / f"{CLEAN}.csv"
    if clean.is_file():
        for key, reference in _table(clean, refused).items():
            found[key] = _marked(found.get(key, reference))
    return list(found.values())


def _table(path: Path, refused: RefusalLog) -> dict[_Key, Reference]:
    names = {file: name for name, table in TABLES.items() for file in table.names}
    name = names.get(path.name, path.stem)
    found: dict[_Key, Reference] = {}
    for line, row in csv_rows(path, _COLUMNS, refused):
        try:
            qa = question_of_row(row, f"{name}/{line}", "test")
            key = (row["Figure_path"].strip(), qa.question, qa.options)
            if key in found:
                raise InputError(
                    "the question is there already; the first is kept", kind="repeated_id"
                )
        except InputError as error:
            refused.add(f"line {line}", reason=str(error), kind=error.kind, file=path.name)
        else:
            found[key] = _reference(qa, key[0], name)
    return found


def _reference(qa: QA, figure: str, table: str) -> Reference:
    return Reference(
        id=qa.qa_id,
        question=qa.question,
        answer=qa.answer,
        answer_type="CLOSED",
        question_type="",
        image=figure,
        group=figure,
        options=qa.options,
        letter=LETTERS[qa.options.index(qa.answer)],
        subsets=(CLEAN,) if table == CLEAN else (),
    )


def _marked(reference: Reference) -> Reference:
    return replace(reference, subsets=(CLEAN,))


def questions(root: Path, refused: RefusalLog) -> list[Question]:
    """The questions of `load` for the folder, with their figures.

    Raises:
        InputError: A table or the folder of figures is missing.
    """
    first = (root / "test.csv").is_file()
    tables = ("test", CLEAN) if first else ("test_2",)
    return questions_of_records(pmc_vqa.read(root, refused, tables=tables), root)
