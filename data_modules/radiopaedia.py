"""Radiopaedia: clinical cases with images and descriptions by their contributors.

Owner: Radiopaedia Australia Pty Ltd and the contributors.
URL: https://radiopaedia.org
Licence: site agreement (terms of use); machine use needs a licence from the owners.
Access: there is no public dump; the reader takes a table that the user may hold by agreement with
    the owners, and redistributes nothing.
Citation: each case by its own Radiopaedia reference (rID).
Expected tree (this project's own input form, after the two tables of RadFM; either or both)::

    <root>/
      radiopaedia.csv             image_path, question, answer [, case_id]; a row without a question
                                  is a description of the image
      radiopaedia_modality.csv    image_path, answer: the modality in words
      <images named by image_path>

Split policy: none known; own splits by case. Rows of one case_id are one record and one group;
    without case_id one image is.
Known (chaoyi-wu/RadFM): the two tables' columns. Not known: fields of any scrape; the authors'
    released script for this source is a stub. So the form above is ours, and nothing of it was
    checked on the owners' files.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from data_modules.cells import image_of_cell
from data_modules.reading import OWNER, licence_of, valid_record
from semihvision.core.card import Card
from semihvision.core.components import Component
from semihvision.core.errors import InputError, RefusalLog
from semihvision.core.record import QA, ImageRef, Label, Record, Text
from semihvision.core.tables import csv_rows, required_file

CARD = Card(
    name="radiopaedia",
    title="Radiopaedia",
    owner="Radiopaedia Australia Pty Ltd and its contributors",
    url="https://radiopaedia.org",
    licence="Radiopaedia site agreement",
    licence_url="https://radiopaedia.org/terms",
    access="By agreement with the owners; no public dump exists.",
    citation="Each case by its own reference (rID)",
    owners_caption_flag=False,
    human_text=True,
    api_conditions=("owner_permission",),
    api_clause="The site agreement does not give its texts and images to third parties.",
    redistribution="no",
    commercial_use="no",
    exports_text=False,
    components=(
        Component(
            name="tables",
            patterns=("radiopaedia.csv", "radiopaedia_modality.csv"),
            unit="rows",
        ),
    ),
    notes="The clause on hosted models is our reading of a site agreement that was not quoted.",
)

TABLE, MODALITY_TABLE = "radiopaedia.csv", "radiopaedia_modality.csv"
MODALITIES_OF = {
    "x-ray": "xray", "xray": "xray", "radiograph": "xray", "ct": "ct", "mri": "mr", "mr": "mr",
    "ultrasound": "ultrasound", "mammography": "xray", "fluoroscopy": "xray",
    "angiography": "dsa", "dsa": "dsa", "pet": "pet_spect", "pet-ct": "pet_spect",
}  # fmt: skip
"""Modality in words, in lower case -> ours; other words stay a label."""

_ID = re.compile(r"[\w.-]{1,64}")


class _Row(NamedTuple):
    """One usable row: where it stands and what it says about its image."""

    file: str
    item: str
    path: str
    question: str
    answer: str


def read(root: Path, refused: RefusalLog) -> Iterator[Record]:
    """Yields one record per case (or image), in the order of their first rows.

    An image that cannot be read costs its own rows; the case goes on with its others.

    Args:
        root: Folder of the layout above.
        refused: Gets rows that cannot be used, with the reason.

    Raises:
        InputError: Neither table is there, or a column is missing.
    """
    required_file(root, TABLE, MODALITY_TABLE)
    cases: dict[str, list[_Row]] = {}
    case_of: dict[str, str] = {}
    for name in (TABLE, MODALITY_TABLE):
        if (root / name).is_file():
            _read_table(root / name, cases, case_of, refused)
    for case, rows in cases.items():
        record = _record(root, case, rows, refused)
        if record is not None:
            yield record


def _read_table(
    table: Path, cases: dict[str, list[_Row]], case_of: dict[str, str], refused: RefusalLog
) -> None:
    """Adds a table's rows to their cases; an image keeps the case of its first row."""
    modality = table.name == MODALITY_TABLE
    columns = ("image_path", "answer") if modality else ("image_path", "question", "answer")
    for line, cells in csv_rows(table, columns, refused):
        item = f"line {line}"
        path, answer = cells["image_path"].strip(), cells["answer"].strip()
        question = "" if modality else _value(cells["question"])
        row = _Row(table.name, item, path, question, answer)
        case = _value(cells.get("case_id", "")) or case_of.get(path, path)
        try:
            _check(row, cells, case, case_of, cases)
        except InputError as error:
            refused.add(item, reason=str(error), kind=error.kind, file=table.name)
            continue
        case_of[path] = case
        cases.setdefault(case, []).append(row)


def _value(cell: str) -> str:
    text = cell.strip()
    return "" if text.lower() == "nan" else text


def _check(
    row: _Row,
    cells: dict[str, str],
    case: str,
    case_of: dict[str, str],
    cases: dict[str, list[_Row]],
) -> None:
    empty = [name for name in ("image_path", "answer") if not _value(cells[name])]
    if empty:
        raise InputError(f"empty {', '.join(empty)}", kind="invalid_row")
    if case != row.path and not _ID.fullmatch(case):
        raise InputError("case_id: expected at most 64 letters and digits", kind="invalid_row")
    if case_of.get(row.path, case) != case:
        raise InputError("another case_id than in the image's first row", kind="contradicting_rows")
    if any(row[2:] == known[2:] and row.file == known.file for known in cases.get(case, [])):
        raise InputError("the row is there already; the first is kept", kind="repeated_id")


def _record(root: Path, case: str, rows: list[_Row], refused: RefusalLog) -> Record | None:
    images: dict[str, ImageRef] = {}
    faults: dict[str, InputError] = {}
    for path in dict.fromkeys(row.path for row in rows):
        try:
            images[path] = image_of_cell(root, path, image_id=f"image {len(images) + 1}")
        except InputError as error:
            faults[path] = error
    for row in rows:
        fault = faults.get(row.path)
        if fault is not None:
            refused.add(row.item, reason=str(fault), kind=fault.kind, file=row.file)
    if not images:
        return None
    kept = [row for row in rows if row.path in images]
    spoken = [row for row in kept if row.file == TABLE]
    modalities = [row for row in kept if row.file == MODALITY_TABLE]
    ours = {MODALITIES_OF.get(row.answer.lower(), "") for row in modalities}
    return valid_record(
        kept[0].item,
        refused,
        file=kept[0].file,
        record_id=f"radiopaedia/{case}",
        source="radiopaedia",
        group_id=case,
        images=tuple(images.values()),
        labels=tuple(
            Label(
                label_id=f"modality {n}", name="modality", value=row.answer, system="table",
                image_ids=(images[row.path].image_id,),
            )
            for n, row in enumerate(modalities, start=1)
        ),
        modality=ours.pop() if len(ours) == 1 else "",
        texts=tuple(
            Text(
                text_id=row.item, kind="caption", text=row.answer,
                image_ids=(images[row.path].image_id,), provenance_id=OWNER.provenance_id,
            )
            for row in spoken if not row.question
        ),
        qa=tuple(
            QA(
                qa_id=row.item, question=row.question, answer=row.answer,
                image_ids=(images[row.path].image_id,), provenance_id=OWNER.provenance_id,
            )
            for row in spoken if row.question
        ),
        provenance=(OWNER,),
        licence=licence_of(CARD),
    )  # fmt: skip


def write_twin(root: Path, *, cases: int, seed: int) -> None:
    """Writes a drawn twin in the layout above; see `data_modules.twins.radiopaedia`."""
    from data_modules.twins.radiopaedia import write_twin as write

    write(root, cases=cases, seed=seed)
