"""JAMA Clinical Challenge: case vignettes with four options and JAMA's own discussion.

Owner: American Medical Association (JAMA Network).
URL: https://jamanetwork.com (series "JAMA Clinical Challenge"); list of links and answers:
    https://github.com/HanjieChen/ChallengeClinicalQA
Licence: site agreement of the publisher; the text may not be republished. The owners of the list
    publish links and answer letters, never text, and so do we: Records of this source stay with
    whoever holds the right to read the cases.
Access: own retrieval by a person with the right to it; nothing is downloaded here.
Citation: Chen et al., "Benchmarking Large Language Models on Answering and Explaining Challenging
    Medical Questions", 2024; each case by its own JAMA reference.
Expected tree, one of the first three files::

    <root>/
      jama.jsonl                   our form, one object a line: the fields of jama_raw and, where
                                   they are at hand, id and images (paths below <root>)
      jama_raw.csv | jama_raw.json link, question, opa, opb, opc, opd, diagnosis, answer_idx,
                                   answer, explanation, field
      jama_links.json              id, link, answer_idx, answer; not read: it holds no case

Split policy: a benchmark, used for testing only; one case is one group.
Known (owners' documentation): the two field lists above. The scrape form has no images: its cases
    are text-only, which `prepare` and `evaluate` count apart. No export writes a text of this
    source. Not known: number of cases, dates and split of the SemiHVision paper; whether
    `answer_idx` is always a letter.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from data_modules.cells import image_of_cell
from data_modules.reading import OWNER, licence_of
from semihvision.core.card import Card
from semihvision.core.components import Component
from semihvision.core.errors import InputError, RefusalLog
from semihvision.core.reasons import json_kind
from semihvision.core.record import (
    QA,
    ImageRef,
    Label,
    Record,
    Text,
    invalid_reason,
)
from semihvision.core.tables import csv_rows, json_rows, jsonl_rows

CARD = Card(
    name="jama",
    title="JAMA Clinical Challenge",
    owner="American Medical Association (JAMA Network)",
    url="https://github.com/HanjieChen/ChallengeClinicalQA",
    licence="JAMA Network site agreement",
    licence_url="https://jamanetwork.com/pages/terms-of-use",
    access="Your own retrieval from jamanetwork.com under your own licence; nothing is downloaded.",
    citation=(
        "Chen et al., Benchmarking Large Language Models on Answering and Explaining Challenging "
        "Medical Questions, 2024 (arXiv 2402.18060); each case by its JAMA reference"
    ),
    owners_caption_flag=False,
    human_text=True,
    api_conditions=("owner_permission",),
    api_clause="The site agreement does not let readers republish the text or pass it on.",
    redistribution="no",
    commercial_use="no",
    exports_text=False,
    components=(
        Component(
            name="cases", patterns=("jama.jsonl", "jama_raw.csv", "jama_raw.json"), unit="rows"
        ),
    ),
    notes=(
        "That a hosted model counts as passing on is our reading of the site agreement. Images "
        "are not part of the owners' list. Number of cases, dates and split: not known."
    ),
)

LETTERS = "ABCD"
OPTION_FIELDS = ("opa", "opb", "opc", "opd")
_LETTER = re.compile(r"^\(?[A-D][.):]\s*")
"""A letter that repeats an option's place: "A. Sarcoidosis", "(A) ..."; not "A large mass"."""
_ID = re.compile(r"[\w.:-]{1,64}")
_LINKS = "jama_links.json"
_FILES = ("jama.jsonl", "jama_raw.json", "jama_raw.csv")


def read(root: Path, refused: RefusalLog) -> Iterator[Record]:
    """Yields one record a case: images, question with four options, JAMA's discussion.

    The question's `qa_id` is ``question``, its `answer` the text of the right option; letters that
    repeat an option's place ("A. Sarcoidosis") are taken off. A case without images is a text-only
    case; one whose image is missing is refused.

    Args:
        root: Folder of the layout above.
        refused: Cases that cannot be used, with reasons; never their text.

    Raises:
        InputError: None or several of the case files are there, or the file is no table of cases.
    """
    found = [name for name in _FILES if (root / name).is_file()]
    if len(found) != 1:
        links = (root / _LINKS).is_file() and not found
        hint = f"; {_LINKS} names cases but holds none: retrieve them yourself" if links else ""
        raise InputError(
            f"{root}: expected one of {', '.join(_FILES)}, found {', '.join(found) or 'none'}{hint}"
        )
    seen: set[str] = set()
    for place, row in _rows(root / found[0], refused):
        try:
            record = _record(root, row)
            if record.record_id in seen:
                raise InputError("its id was already used; the first is kept", kind="repeated_id")
        except InputError as error:
            refused.add(_named(row, place), reason=str(error), kind=error.kind, file=found[0])
            continue
        seen.add(record.record_id)
        yield record


def write_twin(root: Path, *, cases: int, seed: int) -> None:
    """Writes a drawn twin in the layout above; see `data_modules.twins.jama`."""
    from data_modules.twins.jama import write_twin as write

    write(root, cases=cases, seed=seed)


def _rows(path: Path, refused: RefusalLog) -> Iterator[tuple[str, dict[str, Any]]]:
    """Rows with their place; broken ones are refused, a broken file is an error."""
    if path.suffix == ".jsonl":
        yield from ((f"line {number}", row) for number, row in jsonl_rows(path, refused))
    elif path.suffix == ".csv":
        rows = csv_rows(path, ("link", "question", *OPTION_FIELDS, "explanation"), refused)
        yield from ((f"line {number}", dict(row)) for number, row in rows)
    else:
        for number, row in enumerate(json_rows(path)):
            if isinstance(row, dict):
                yield f"row {number}", row
            else:
                reason = f"found {json_kind(row)}, expected an object"
                refused.add(f"row {number}", reason=reason, kind="invalid_row", file=path.name)


def _case_id(row: dict[str, Any]) -> str:
    """The row's id, else the last part of its link; empty where it has neither."""
    name = row.get("id")
    text = str(name) if name is not None else str(row.get("link") or "")
    return text.rstrip("/").rpartition("/")[2].strip()


def _named(row: dict[str, Any], place: str) -> str:
    """The case's id for a refused item; its place where the cell may be anything but an id."""
    case_id = _case_id(row)
    return case_id if _ID.fullmatch(case_id) else place


def _record(root: Path, row: dict[str, Any]) -> Record:
    case_id = _case_id(row)
    if not case_id:
        raise InputError("expected an id or a link", kind="invalid_row")
    options = _options(row)
    images = tuple(_images(root, row))
    shown = tuple(image.image_id for image in images)
    texts = [
        Text(text_id=kind, kind=kind, text=value, provenance_id=OWNER.provenance_id)
        for kind, value in (
            ("discussion", _text(row, "explanation")),
            ("diagnosis", _text(row, "diagnosis")),
        )
        if value
    ]
    field = _text(row, "field")
    try:
        return Record(
            record_id=f"jama/{case_id}",
            source="jama",
            split="test",
            group_id=f"jama/{case_id}",
            images=images,
            labels=(Label(label_id="field", name="field", value=field, system="owner"),)
            if field
            else (),
            texts=tuple(texts),
            qa=(
                QA(
                    qa_id="question",
                    question=_text(row, "question"),
                    answer=options[_answer_index(row, options)],
                    options=options,
                    answer_type="CLOSED",
                    image_ids=shown,
                    provenance_id=OWNER.provenance_id,
                ),
            ),
            provenance=(OWNER,),
            licence=licence_of(CARD),
        )
    except ValidationError as error:
        raise InputError(invalid_reason(error), kind="invalid_record") from None


def _images(root: Path, row: dict[str, Any]) -> Iterator[ImageRef]:
    paths = row.get("images") or []
    if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
        raise InputError("images: expected a list of paths", kind="invalid_row")
    for number, path in enumerate(paths):
        yield image_of_cell(root, path, image_id=f"image{number}")


def _options(row: dict[str, Any]) -> tuple[str, ...]:
    texts = [_text(row, field) for field in OPTION_FIELDS]
    if [text.lstrip("(")[:1] for text in texts if _LETTER.match(text)] == list(LETTERS):
        texts = [_LETTER.sub("", text) for text in texts]
    if not all(texts) or len({text.casefold() for text in texts}) < len(texts):
        names = ", ".join(OPTION_FIELDS)
        raise InputError(f"{names}: expected four different non-empty texts", kind="options")
    return tuple(texts)


def _answer_index(row: dict[str, Any], options: tuple[str, ...]) -> int:
    """Place of the right option, from `answer_idx` (a letter or a position) and `answer`.

    A position may count from 0 or from 1, which `answer` decides; the two must agree.
    """
    fitting = set(range(len(options)))
    index = row.get("answer_idx")
    given = "" if index is None else str(index).strip().upper()
    if given and given in LETTERS:
        fitting = {LETTERS.index(given)}
    elif given in ("0", "1", "2", "3", "4"):
        fitting &= {int(given), int(given) - 1}
    elif given:
        raise InputError("answer_idx: expected a letter A to D or a place 0 to 4", kind="answer")
    answer = _text(row, "answer")
    if answer:
        fitting &= {
            place
            for place, (letter, option) in enumerate(zip(LETTERS, options, strict=True))
            if _names(answer, letter, option)
        }
    if len(fitting) != 1:
        reason = "answer_idx and answer: expected them to name one and the same option"
        raise InputError(reason, kind="answer")
    return fitting.pop()


def _names(answer: str, letter: str, option: str) -> bool:
    """Whether an answer is this option: its letter, its text, or both."""
    if answer.lstrip("(")[:1] == letter and _same(_LETTER.sub("", answer), option):
        return True
    return _same(answer, letter) or _same(answer, option)


def _same(one: str, other: str) -> bool:
    """Equal but for case, runs of blanks and a final period."""
    return one.casefold().rstrip(".").split() == other.casefold().rstrip(".").split()


def _text(row: dict[str, Any], field: str) -> str:
    value = row.get(field)
    return value.strip() if isinstance(value, str) else ""
