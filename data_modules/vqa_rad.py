"""VQA-RAD: questions and answers about radiology images, asked by clinicians.

Owner: Lau et al. (National Library of Medicine).
URL: https://osf.io/89kps/
Licence: CC0 1.0.
Access: open download; nothing is downloaded here.
Citation: Lau et al., "A dataset of clinically generated visual questions and answers about
    radiology images", Scientific Data 5 (2018) 180251.
Expected tree::

    <root>/
      trainset.json testset.json    [{qid, image_name, image_organ, answer, answer_type,
                                      question_type, question, phrase_type}]
      images/<image_name>
      answer_all_list.json          not needed

Split policy: the owners' split by question is kept on every question, although all 203 test images
    also occur in training (`prepare` counts them). One image is one record and one group.
Known (read in the files): 3,064 + 451 questions, 314 of 315 images used, ten integer answers, two
    answer types `"CLOSED "`, combined and misspelt question types (kept as they are). CLOSED is not
    the same as yes/no. Modality is not given; the organ is HEAD, CHEST or ABD.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from data_modules.cells import image_of_cell
from data_modules.reading import OWNER, licence_of, valid_record
from semihvision.core.card import Card
from semihvision.core.components import Component
from semihvision.core.errors import InputError, RefusalLog
from semihvision.core.reasons import json_kind
from semihvision.core.record import QA, Attribute, Record
from semihvision.core.tables import json_rows, required_file

CARD = Card(
    name="vqa_rad",
    title="VQA-RAD",
    owner="Lau et al., National Library of Medicine",
    url="https://osf.io/89kps/",
    licence="CC0-1.0",
    licence_url="https://creativecommons.org/publicdomain/zero/1.0/",
    access="Open download.",
    citation="Lau et al., Scientific Data 5 (2018) 180251",
    human_text=True,
    api_clause="CC0 sets no rule for hosted models.",
    redistribution="yes",
    commercial_use="yes",
    components=(
        Component(
            name="training questions",
            patterns=("trainset.json",),
            unit="rows",
            published=3_064,
            origin="read in the files",
        ),
        Component(
            name="test questions",
            patterns=("testset.json",),
            unit="rows",
            published=451,
            origin="read in the files",
        ),
        Component(name="images", patterns=("images/*",), published=315, origin="read in the files"),
    ),
    notes="The images come from MedPix, whose own terms were not read.",
)

SPLIT_FILES = {"train": "trainset.json", "test": "testset.json"}
BODY_PARTS = {"HEAD": "head_neck", "CHEST": "thorax", "ABD": "abdomen"}
"""Owner's `image_organ` -> ours."""

_FIELDS = (
    "qid", "image_name", "image_organ", "answer", "answer_type", "question_type", "question",
    "phrase_type",
)  # fmt: skip


def read(
    root: Path, refused: RefusalLog, *, splits: Sequence[str] = tuple(SPLIT_FILES)
) -> Iterator[Record]:
    """Yields one record per image with all its questions, in the files' order.

    Blanks around questions, answers and answer types are removed and integer answers become text;
    all else is kept as the owners wrote it.

    Args:
        root: Folder in the owners' layout.
        refused: Gets every question that cannot be used, with the reason.
        splits: Those to read: `train`, `test` or both. Tables and images of the others are not
            touched, and nothing of them is refused.

    Raises:
        InputError: A table is missing or no JSON array, or a split is unknown.
    """
    questions: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    seen: set[int] = set()
    unknown = sorted(set(splits) - set(SPLIT_FILES))
    if unknown:
        raise InputError(f"split {', '.join(unknown)}: expected {' or '.join(SPLIT_FILES)}")
    for split, name in SPLIT_FILES.items():
        if split not in splits:
            continue
        for number, row in enumerate(json_rows(required_file(root, name))):
            reason = _fault(row)
            if reason:
                refused.add(f"row {number}", reason=reason, kind="invalid_row", file=name)
            elif row["qid"] in seen:
                reason = "this qid was already used; the first question is kept"
                refused.add(f"qid {row['qid']}", reason=reason, kind="repeated_id", file=name)
            else:
                seen.add(row["qid"])
                questions.setdefault(row["image_name"], []).append((split, row))
    for image_name, asked in questions.items():
        record = _record(root, image_name, asked, refused)
        if record is not None:
            yield record


_KINDS: dict[type, str] = {str: "a text", int: "a whole number"}


def _fault(row: Any) -> str:
    """What is wrong with a row; empty if nothing is."""
    if not isinstance(row, dict):
        return f"found {json_kind(row)}, expected an object"
    missing = [name for name in _FIELDS if name not in row]
    if missing:
        return f"no {', '.join(missing)}"
    kinds: dict[str, tuple[type, ...]] = {name: (str,) for name in _FIELDS}
    kinds |= {"qid": (int,), "answer": (str, int)}
    for name, allowed in kinds.items():
        if not isinstance(row[name], allowed) or isinstance(row[name], bool):
            expected = " or ".join(_KINDS[kind] for kind in allowed)
            return f"{name} is {json_kind(row[name])}, expected {expected}"
    empty = [name for name in ("image_name", "question", "answer") if not str(row[name]).strip()]
    return f"empty {', '.join(empty)}" if empty else ""


def _record(
    root: Path, image_name: str, asked: list[tuple[str, dict[str, Any]]], refused: RefusalLog
) -> Record | None:
    try:
        image = image_of_cell(root, f"images/{image_name}", image_id="image")
    except InputError as error:
        for split, row in asked:
            refused.add(
                f"qid {row['qid']}", reason=str(error), kind=error.kind, file=SPLIT_FILES[split]
            )
        return None
    return valid_record(
        image_name,
        refused,
        file="images",
        record_id=f"vqa_rad/{image_name}",
        source="vqa_rad",
        group_id=image_name,
        images=(image,),
        body_part=BODY_PARTS.get(asked[0][1]["image_organ"], ""),
        qa=tuple(_qa(split, row) for split, row in asked),
        provenance=(OWNER,),
        licence=licence_of(CARD),
    )


def _qa(split: str, row: dict[str, Any]) -> QA:
    return QA(
        qa_id=str(row["qid"]),
        question=row["question"].strip(),
        answer=str(row["answer"]).strip(),
        answer_type=row["answer_type"].strip(),
        question_type=row["question_type"],
        attributes=(Attribute(name="phrase_type", value=row["phrase_type"]),),
        image_ids=("image",),
        split=split,
        provenance_id=OWNER.provenance_id,
    )


def write_twin(root: Path, *, cases: int, seed: int) -> None:
    """Writes a drawn twin in the layout above; see `data_modules.twins.vqa_rad`."""
    from data_modules.twins.vqa_rad import write_twin as write

    write(root, cases=cases, seed=seed)
