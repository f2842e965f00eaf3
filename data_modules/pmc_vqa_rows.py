"""PMC-VQA's tables: which there are, and the question of a row with its right option."""

import re
from typing import NamedTuple

from semihvision.core.errors import InputError
from semihvision.core.record import QA, Attribute, Provenance

CHOICES = ("Choice A", "Choice B", "Choice C", "Choice D")
ANSWER_COLUMNS = ("Answer", "Anwser")
LETTERS = "ABCD"
WRITER = Provenance(provenance_id="owners' model", producer="model", model="ChatGPT, by the owners")
"""Origin of the questions (the paper); its version is not known."""

Row = dict[str, str]


class Table(NamedTuple):
    """One of the owners' files, under each of its names, with the folders its figures may be in."""

    names: tuple[str, ...]
    folders: tuple[str, ...]
    split: str


TABLES = {
    "train": Table(("train.csv",), ("images", "figures"), "train"),
    "test": Table(("test.csv",), ("images", "figures"), "test"),
    "test_clean": Table(("test_clean.csv",), ("images", "figures"), "test"),
    "train_2": Table(("train_2.csv", "train2.csv"), ("images_2", "images2", "figures"), "train"),
    "test_2": Table(("test_2.csv", "test2.csv"), ("images_2", "images2", "figures"), "test"),
}

_OPTION = {letter: re.compile(rf"\s*{letter}\s*:\s*") for letter in LETTERS}


class Asked(NamedTuple):
    """One question of a figure and the row it stands in; all questions are held at once.

    Attributes:
        table: Name in `TABLES`.
        file: Name of the file.
        line: Line of the row.
        question: Its words.
        options: Texts of the options, without their letters.
        right: Place of the right one.
        caption: Of the figure; empty where the table has none.
        is_clean: Whether `test_clean.csv` has it.
    """

    table: str
    file: str
    line: int
    question: str
    options: tuple[str, ...]
    right: int
    caption: str
    is_clean: bool

    @property
    def item(self) -> str:
        """What refused items call the row."""
        return f"line {self.line}"

    def qa(self) -> QA:
        """The question."""
        clean = (Attribute(name="test_clean", value="1"),) if self.is_clean else ()
        return QA(
            qa_id=f"{self.table}/{self.line}",
            question=self.question,
            answer=self.options[self.right],
            options=self.options,
            answer_type="CLOSED",
            attributes=clean,
            image_ids=("figure",),
            split=TABLES[self.table].split,
            provenance_id=WRITER.provenance_id,
        )


def question_of_row(row: Row, qa_id: str, split: str) -> QA:
    """The question of one row; its right option has a text of its own.

    Raises:
        InputError: Names the column, never its content.
    """
    asked = asked_of(row, "test", "", 0).qa()
    return asked.model_copy(update={"qa_id": qa_id, "split": split})


def asked_of(row: Row, table: str, file: str, line: int) -> Asked:
    """The question of one row.

    Raises:
        InputError: Names the column, never its content.
    """
    question, options = row["Question"].strip(), _options(row)
    empty = [name for name in ("Figure_path", "Question") if not row[name].strip()]
    empty += [name for name, text in zip(CHOICES, options, strict=True) if not text]
    if empty:
        raise InputError(f"empty {', '.join(empty)}", kind="invalid_row")
    right = _right(row, options)
    caption = row.get("Caption", "").strip()
    return Asked(table, file, line, question, options, right, caption, table == "test_clean")


def _options(row: Row) -> tuple[str, ...]:
    """The four texts without their letters, which are taken off only where all four have one."""
    cells = [row[name].strip() for name in CHOICES]
    lettered = [_OPTION[letter].match(cell) for letter, cell in zip(LETTERS, cells, strict=True)]
    if all(lettered):
        cells = [cell[m.end() :] for cell, m in zip(cells, lettered, strict=True) if m]
    return tuple("" if cell.lower() == "nan" else cell for cell in cells)


def _right(row: Row, options: tuple[str, ...]) -> int:
    """Place of the right option; the columns that name one must agree."""
    columns = [name for name in (*ANSWER_COLUMNS, "Answer_label") if row.get(name, "").strip()]
    if not columns:
        raise InputError("no answer in Answer, Anwser or Answer_label", kind="answer")
    named = [_named(row[name].strip(), options) for name in columns]
    places = {place for found in named for place in found}
    if "Answer_label" in columns and len(named[-1]) != 1:
        raise InputError("Answer_label: expected a letter A to D", kind="answer")
    if len(places) != 1:
        what = "no option" if not places else "more than one option"
        raise InputError(f"{', '.join(columns)}: {what} is named; expected one", kind="answer")
    place = places.pop()
    if options.count(options[place]) > 1:
        raise InputError("two options have the right one's text", kind="answer")
    return place


def _named(answer: str, options: tuple[str, ...]) -> set[int]:
    """Places of the options that an answer names: by its letter, its text, or both."""
    if answer in LETTERS:
        return {LETTERS.index(answer)}
    texts = {answer, *(found.sub("", answer, count=1) for found in _OPTION.values())}
    folded = {" ".join(text.casefold().split()) for text in texts}
    return {n for n, option in enumerate(options) if " ".join(option.casefold().split()) in folded}
