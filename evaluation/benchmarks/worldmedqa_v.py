"""WorldMedQA-V: medical examination questions with an image, from four countries, in two languages.

Owner: Matos, Chen et al. (WorldMedQA).
URL: https://huggingface.co/datasets/WorldMedQA/V
Licence: MIT.
Access: open download; nothing is downloaded here.
Citation: Matos, Chen et al., "WorldMedQA-V: a multilingual, multimodal medical examination dataset
    for multimodal language models evaluation", 2024 (arXiv 2410.12722).
Expected tree::

    <root>/<country>_<language>_processed.tsv   country: brazil, israel, japan, spain; language:
                                                english or local; tab-separated: index, image
                                                (base64), question, A, B, C, D, correct_option

Split policy: everything is for testing.
Known (owners' card, their evaluation code and third parties' loaders): 568 questions, each in the
    local language and in English, 1,136 rows in eight files of 810 MB; a question's id is
    ``<country>_<language>/<index>``. The card describes other column names than the files have.
    Further columns are not read; a question is a record of its own, so that a country's two
    languages are two records of one group. Not checked on real files; counts per country are not
    known.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from data_modules.reading import each_table
from evaluation.benchmark_records import benchmark_record, qa_of
from evaluation.conventions import CHOICE_CONVENTIONS as CONVENTIONS
from evaluation.questions import Question, questions_of_records
from evaluation.references import Reference
from semihvision.core.card import Card
from semihvision.core.components import Component
from semihvision.core.errors import InputError, RefusalLog
from semihvision.core.images import probe_image
from semihvision.core.imaging.cells import CELL
from semihvision.core.long_cells import long_rows
from semihvision.core.record import Record

__all__ = ["CARD", "CONVENTIONS", "load", "questions", "read", "write_twin"]

CARD = Card(
    name="worldmedqa_v",
    title="WorldMedQA-V",
    owner="Matos, Chen et al., WorldMedQA",
    url="https://huggingface.co/datasets/WorldMedQA/V",
    licence="MIT",
    licence_url="https://opensource.org/license/mit",
    access="Open download.",
    citation="Matos, Chen et al., WorldMedQA-V, 2024 (arXiv 2410.12722)",
    human_text=True,
    api_clause="MIT sets no rule for hosted models.",
    redistribution="yes",
    commercial_use="yes",
    components=(
        Component(
            name="tables of questions",
            patterns=("*_english_processed.tsv", "*_local_processed.tsv"),
            published=8,
            origin="owners",
        ),
    ),
    notes="A benchmark: for evaluation only. MIT is the licence of the owners' repository.",
)

COUNTRIES = ("brazil", "israel", "japan", "spain")
_NAME = re.compile(rf"({'|'.join(COUNTRIES)})_(english|local)_processed\.tsv")
_LETTERS = "ABCD"
_COLUMNS = ("index", "image", "question", *_LETTERS, "correct_option")

Row = dict[str, str]


class _Place(NamedTuple):
    """Where a question stands: in which table, and on which line its row ends."""

    file: str
    line: int


def load(path: Path, refused: RefusalLog) -> list[Reference]:
    """Reads questions and golds.

    Args:
        path: One of the owners' files, or their folder for all that are there.
        refused: Gets questions that cannot be used.

    Raises:
        InputError: No such file is there, or none is usable.
    """
    return [reference for _, reference in _usable(path, refused)]


def _usable(path: Path, refused: RefusalLog) -> Iterator[tuple[_Place, Reference]]:
    files = [path] if path.is_file() else sorted(path.glob("*_processed.tsv"))
    if not files:
        raise InputError(f"{path}: no <country>_<language>_processed.tsv")
    root = path.parent if path.is_file() else path
    yield from each_table(root, files, refused, lambda file: _of_table(file, refused))


def _of_table(file: Path, refused: RefusalLog) -> Iterator[tuple[_Place, Reference]]:
    named = _NAME.fullmatch(file.name)
    if named is None:
        raise InputError(f"{file}: expected <country>_<english or local>_processed.tsv")
    seen: set[str] = set()
    for line, row in long_rows(file, _COLUMNS, refused):
        try:
            reference = _reference(row, named[1], named[2])
            if reference.id in seen:
                raise InputError(
                    "this index was already used; the first is kept", kind="repeated_id"
                )
        except InputError as error:
            refused.add(f"line {line}", reason=str(error), kind=error.kind, file=file.name)
        else:
            seen.add(reference.id)
            yield _Place(file.name, line), reference


def _reference(row: Row, country: str, language: str) -> Reference:
    empty = [name for name in _COLUMNS if row[name].strip().lower() in ("", "nan")]
    if empty:
        raise InputError(f"empty {', '.join(empty)}", kind="invalid_row")
    letter = row["correct_option"].strip()
    if letter not in tuple(_LETTERS):
        raise InputError("correct_option: expected A, B, C or D", kind="answer")
    index = row["index"].strip()
    return Reference(
        id=f"{country}_{language}/{index}",
        question=row["question"].strip(),
        answer=row[letter].strip(),
        answer_type="CLOSED",
        question_type="",
        image=f"{country}/{index}",
        group=f"{country}/{index}",
        options=tuple(row[name].strip() for name in _LETTERS),
        letter=letter,
        subsets=(language, f"{country} {language}"),
    )


def read(root: Path, refused: RefusalLog) -> Iterator[Record]:
    """Yields one record per row: a question in one language, with its image.

    Args:
        root: Folder in the owners' layout.
        refused: Gets questions that cannot be used, with the reason.

    Raises:
        InputError: No table is there, or none is usable.
    """
    for place, reference in _usable(root, refused):
        try:
            image = probe_image(
                root, place.file, image_id="image", format=CELL, axis="image", index=place.line
            )
        except InputError as error:
            refused.add(f"line {place.line}", reason=str(error), kind=error.kind, file=place.file)
            continue
        qa = qa_of(reference, ["image"])
        yield benchmark_record(CARD, reference.id, group=reference.group, images=[image], qa=[qa])


def questions(root: Path, refused: RefusalLog) -> list[Question]:
    """All questions with their images, which stay in their tables.

    Raises:
        InputError: As from `read`.
    """
    return questions_of_records(read(root, refused), root)


def write_twin(root: Path, *, cases: int, seed: int) -> None:
    """Writes a drawn twin in the layout above; see `data_modules.twins.worldmedqa_v`."""
    from data_modules.twins.worldmedqa_v import write_twin as write

    write(root, cases=cases, seed=seed)
