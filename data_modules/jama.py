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
from data_modules.jama_answers import OPTION_FIELDS, answer_index, options_of, text_of
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
    options = options_of(row)
    images = tuple(_images(root, row))
    shown = tuple(image.image_id for image in images)
    texts = [
        Text(text_id=kind, kind=kind, text=value, provenance_id=OWNER.provenance_id)
        for kind, value in (
            ("discussion", text_of(row, "explanation")),
            ("diagnosis", text_of(row, "diagnosis")),
        )
        if value
    ]
    field = text_of(row, "field")
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
                    question=text_of(row, "question"),
                    answer=options[answer_index(row, options)],
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
