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
    Further columns are not read. Not checked on real files; counts per country are not known.
"""

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from evaluation.conventions import CHOICE_CONVENTIONS as CONVENTIONS
from evaluation.questions import Question, choice_question
from evaluation.references import Reference
from semihvision.core.card import Card
from semihvision.core.errors import InputError, RefusalLog

__all__ = ["CARD", "CONVENTIONS", "load", "questions"]

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
    notes="A benchmark: for evaluation only. MIT is the licence of the owners' repository.",
)

COUNTRIES = ("brazil", "israel", "japan", "spain")
_NAME = re.compile(rf"({'|'.join(COUNTRIES)})_(english|local)_processed\.tsv")
_LETTERS = "ABCD"
_COLUMNS = ("index", "image", "question", *_LETTERS, "correct_option")
_MAX_CELL_CHARS = 1 << 27
"""An image in base64 is far longer than the 131,072 characters that Python's reader takes."""

Row = dict[str, str]


class _Place(NamedTuple):
    """Where a question stands."""

    file: str
    item: str


def load(path: Path, refused: RefusalLog) -> list[Reference]:
    """Reads questions and golds.

    Args:
        path: One of the owners' files, or their folder for all that are there.
        refused: Gets questions that cannot be used.

    Raises:
        InputError: No such file is there, or one lacks a column.
    """
    return [reference for _, reference, _ in _usable(path, refused)]


def _usable(path: Path, refused: RefusalLog) -> Iterator[tuple[_Place, Reference, Row]]:
    files = [path] if path.is_file() else sorted(path.glob("*_processed.tsv"))
    if not files:
        raise InputError(f"{path}: no <country>_<language>_processed.tsv")
    for file in files:
        named = _NAME.fullmatch(file.name)
        if named is None:
            raise InputError(f"{file}: expected <country>_<english or local>_processed.tsv")
        seen: set[str] = set()
        for item, row in _rows(file, refused):
            try:
                reference = _reference(row, named[1], named[2])
                if reference.id in seen:
                    raise InputError(
                        "this index was already used; the first is kept", kind="repeated_id"
                    )
            except InputError as error:
                refused.add(item, reason=str(error), kind=error.kind, file=file.name)
            else:
                seen.add(reference.id)
                yield _Place(file.name, item), reference, row


def _rows(file: Path, refused: RefusalLog) -> Iterator[tuple[str, Row]]:
    """Line and cells of every row; the limit of a cell is put back afterwards."""
    limit = csv.field_size_limit(_MAX_CELL_CHARS)
    try:
        with file.open(encoding="utf-8-sig", errors="strict", newline="") as stream:
            table = csv.reader(stream, delimiter="\t", strict=True)
            header = next(table, [])
            missing = [name for name in _COLUMNS if name not in header]
            if missing:
                raise InputError(f"{file}: no column {', '.join(missing)}; tab-separated?")
            for cells in table:
                item = f"line {table.line_num}"
                if len(cells) == len(header):
                    yield item, dict(zip(header, cells, strict=True))
                elif cells:
                    reason = f"{len(cells)} cells, expected {len(header)}"
                    refused.add(item, reason=reason, kind="broken_row", file=file.name)
    except (csv.Error, OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: unreadable table ({type(error).__name__})") from None
    finally:
        csv.field_size_limit(limit)


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


def questions(root: Path, refused: RefusalLog) -> list[Question]:
    """All questions with their images, which stay in memory (300 to 600 MB for all files).

    Raises:
        InputError: No table is there, or one lacks a column.
    """
    from evaluation.embedded import decode_base64, embedded_picture

    kept: dict[bytes, bytes] = {}
    found = []
    for place, reference, row in _usable(root, refused):
        try:
            data = decode_base64(row["image"])
            # Both languages of a question have the same image.
            data = kept.setdefault(data, data)
            picture = embedded_picture(data, lambda data=data: data)  # type: ignore[misc]
        except InputError as error:
            refused.add(place.item, reason=str(error), kind=error.kind, file=place.file)
            continue
        found.append(
            choice_question(
                reference.id,
                source="worldmedqa_v",
                text=reference.question,
                options=reference.options,
                pictures=[picture],
            )
        )
    return found
