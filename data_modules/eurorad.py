"""Eurorad: peer-reviewed teaching cases with history, findings, discussion and several images.

Owner: European Society of Radiology and the cases' authors.
URL: https://eurorad.org
Licence: CC BY 4.0 for cases published from 6 July 2015 on; older ones need their authors'
    permission and are refused unless a list of permissions names them.
Access: cases are read at https://eurorad.org/case/<CaseID>; nothing is downloaded here.
Citation: each case by its authors, title and CaseID.
Expected tree (this project's own input form; the structure of a dump is not known)::

    <root>/
      cases.jsonl     one case a line: {case_id, date, title, clinical_history, imaging_findings,
                      discussion, diagnosis, images: [{file, caption}]}; date is YYYY-MM-DD; texts
                      may be empty; caption may be absent
      <file>          path below the root, PNG or JPEG
      permissions.csv if the option `permissions` names it: case_id, granted_by, granted_on
                      (YYYY-MM-DD) [, hosted_models] [, note]; a case of it is taken whatever its
                      date, and every such use is logged and stands in the record's licence.
                      hosted_models says what the author answered: yes, no, or empty if that was
                      not asked

Split policy: the owner gives no split; one case is one group.
Known: the licence's date rule; the authors of SemiHVision used clinical history, imaging findings,
    discussion and images. A case without a date is refused, for its terms cannot be known. Not
    known: the structure of pages or of a dump; nothing here was checked on the owner's files.
    A permission is the user's statement. To a hosted model a permitted case goes by the author's
    word where the list has it; `no` holds for open cases, too. Where it was not asked, the user
    must state `owner_permission` for the endpoint.
"""

import logging
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

from data_modules.cells import image_of_cell
from data_modules.eurorad_permissions import CASE_ID, Grant, day_of, read_permissions
from data_modules.reading import OWNER, licence_of, valid_record
from semihvision.core.card import Card
from semihvision.core.components import Component
from semihvision.core.errors import InputError, RefusalLog
from semihvision.core.paths import inside
from semihvision.core.policy import OWNER_REFUSED
from semihvision.core.record import ImageRef, Licence, Record, Text
from semihvision.core.tables import jsonl_rows, required_file

_log = logging.getLogger(__name__)

FIRST_OPEN_DAY = date(2015, 7, 6)

CARD = Card(
    name="eurorad",
    title="Eurorad",
    owner="European Society of Radiology and the cases' authors",
    url="https://eurorad.org",
    licence="CC-BY-4.0",
    licence_url="https://creativecommons.org/licenses/by/4.0/",
    access="Cases are read at eurorad.org/case/<CaseID>; bring your own copies.",
    citation="Each case by its authors, title and CaseID",
    owners_caption_flag=True,
    human_text=True,
    api_clause="CC BY 4.0 sets no rule for hosted models; it covers cases from 6 July 2015 on.",
    redistribution="yes",
    commercial_use="yes",
    earliest_date=FIRST_OPEN_DAY,
    components=(Component(name="cases", patterns=("cases.jsonl",), unit="rows"),),
    notes=(
        "Cases before 6 July 2015 need their authors' permission. The version of CC BY is the one "
        "in the SemiHVision authors' table. The structure of a dump is not known."
    ),
)

TEXT_FIELDS = {
    "title": "title",
    "clinical_history": "history",
    "imaging_findings": "findings",
    "discussion": "discussion",
    "diagnosis": "diagnosis",
}
"""Field of a case -> text kind."""


def read(root: Path, refused: RefusalLog, *, permissions: str = "") -> Iterator[Record]:
    """Yields one record per case.

    An unusable image is refused by itself; the case goes on with its texts and other images.

    Args:
        root: Folder with `cases.jsonl`.
        refused: Gets cases and images that cannot be used, with the reason.
        permissions: Path below the root of a CSV file with the authors' permissions for older
            cases; empty for none.

    Raises:
        InputError: There is no `cases.jsonl`, or no usable list of that name.
    """
    table = required_file(root, "cases.jsonl")
    granted = read_permissions(inside(root, permissions), refused) if permissions else {}
    seen: set[str] = set()
    for line, row in jsonl_rows(table, refused):
        case_id = str(row.get("case_id", "")).strip()
        item = f"case {case_id}" if CASE_ID.fullmatch(case_id) else f"line {line}"
        try:
            _check(row)
            if case_id in seen:
                raise InputError("this case_id was already used", kind="repeated_id")
            licence = _licence(row, granted.get(case_id))
            images, texts = _parts(root, row, item, refused)
        except InputError as error:
            refused.add(item, reason=str(error), kind=error.kind, file=table.name)
            continue
        seen.add(case_id)
        record = valid_record(
            item,
            refused,
            file=table.name,
            record_id=f"eurorad/{case_id}",
            source="eurorad",
            group_id=f"case {case_id}",
            images=tuple(images),
            texts=tuple(texts),
            provenance=(OWNER,),
            licence=licence,
        )
        if record is not None:
            yield record


def _licence(row: dict[str, Any], granted: Grant | None) -> Licence:
    """The terms of a case, by its date or by its author's permission.

    Raises:
        InputError: Neither allows its use.
    """
    case_id = str(row["case_id"]).strip()
    try:
        _require_open(row)
    except InputError as error:
        if granted is None:
            raise
        day = granted.day
        _log.warning("eurorad case %s is taken by permission of %s: %s", case_id, day, error)
        return Licence(
            name=f"author's permission of {day}",
            url=f"https://eurorad.org/case/{case_id}",
            conditions=(granted.term,),
        )
    licence = licence_of(CARD)
    if granted is not None and granted.term == OWNER_REFUSED:
        _log.warning("eurorad case %s: its author refuses hosted models (%s)", case_id, granted.day)
        return licence.model_copy(update={"conditions": (*licence.conditions, OWNER_REFUSED)})
    return licence


def _require_open(row: dict[str, Any]) -> None:
    published = row.get("date")
    if not published:
        raise InputError("no date, so its licence is not known", kind="no_date")
    day = day_of(str(published), "date")
    if day < FIRST_OPEN_DAY:
        raise InputError(
            f"published on {day}, before {FIRST_OPEN_DAY}: needs its author's permission (option "
            "`permissions`)",
            kind="too_old",
        )


def _check(row: dict[str, Any]) -> None:
    """Refuses a case whose form does not allow its use."""
    if not str(row.get("case_id") or "").strip():
        raise InputError("no case_id", kind="invalid_row")
    for name in TEXT_FIELDS:
        if not isinstance(row.get(name, ""), str):
            raise InputError(f"{name}: expected a text", kind="invalid_row")
    images = row.get("images", [])
    if not isinstance(images, list) or not all(
        isinstance(image, dict)
        and isinstance(image.get("file"), str)
        and isinstance(image.get("caption", ""), str)
        for image in images
    ):
        raise InputError("images: expected a list of {file, caption}", kind="invalid_row")


def _parts(
    root: Path, row: dict[str, Any], item: str, refused: RefusalLog
) -> tuple[list[ImageRef], list[Text]]:
    origin = OWNER.provenance_id
    texts = [
        Text(text_id=field, kind=kind, text=row[field].strip(), provenance_id=origin)
        for field, kind in TEXT_FIELDS.items()
        if row.get(field, "").strip()
    ]
    images: list[ImageRef] = []
    for number, entry in enumerate(row.get("images", []), start=1):
        try:
            image = image_of_cell(root, entry["file"], image_id=f"image {number}")
        except InputError as error:
            name = f"{item}, image {number}"
            refused.add(name, reason=str(error), kind=error.kind, file="cases.jsonl")
            continue
        images.append(image)
        if entry.get("caption", "").strip():
            texts.append(
                Text(
                    text_id=f"caption {number}",
                    kind="caption",
                    text=entry["caption"].strip(),
                    image_ids=(image.image_id,),
                    provenance_id=origin,
                )
            )
    return images, texts


def write_twin(root: Path, *, cases: int, seed: int) -> None:
    """Writes a drawn twin in the layout above; see `data_modules.twins.eurorad`."""
    from data_modules.twins.eurorad import write_twin as write

    write(root, cases=cases, seed=seed)
