"""SLAKE: questions and answers about radiology images in English and Chinese, by physicians.

Owner: Liu et al. (The Hong Kong Polytechnic University).
URL: https://www.med-vqa.com/slake/
Licence: CC BY 4.0.
Access: open download; nothing is downloaded here.
Citation: Liu et al., "SLAKE: a semantically-labeled knowledge-enhanced dataset for medical visual
    question answering", ISBI 2021 (arXiv 2102.09542).
Expected tree::

    <root>/
      train.json validate.json test.json   [{qid, img_id, img_name, question, answer, q_lang,
                                              location, modality, answer_type, base_type,
                                              content_type, triple}]
      imgs/<img_name>                      img_name is xmlab<img_id>/source.jpg; beside it stand
                                           masks and boxes, which are not read

    Where the folder imgs/ is not there at all, the questions are read without images (said in a
    warning); where it is, a missing image costs its questions.

Split policy: the owners' split by question is kept on every question. One image is one record and
    one group.
Known (read in the files): 9,835 / 2,099 / 2,094 questions, English 4,919 / 1,053 / 1,061, on 642
    images: 586 / 174 / 180, so the owners' splits share images (counted by `prepare` where the
    images are there). CLOSED is not the same as yes/no: 61 of 416 closed English test answers name
    an organ, a side, a weighting. One training question (qid 1622) has an empty answer: it is kept
    and counted, but neither trained on nor scored. `imgs/` is third parties' loaders'.
Not taken into Records: `triple`, masks, boxes, the knowledge graph.
"""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from data_modules.reading import OWNER, licence_of, valid_record
from semihvision.core.card import Card
from semihvision.core.components import Component
from semihvision.core.errors import InputError, RefusalLog
from semihvision.core.images import probe_image
from semihvision.core.json_stream import object_rows
from semihvision.core.paths import inside
from semihvision.core.reasons import json_kind
from semihvision.core.record import QA, Attribute, ImageRef, Record
from semihvision.core.tables import required_file

CARD = Card(
    name="slake",
    title="SLAKE",
    owner="Liu et al., The Hong Kong Polytechnic University",
    url="https://www.med-vqa.com/slake/",
    licence="CC-BY-4.0",
    licence_url="https://creativecommons.org/licenses/by/4.0/",
    access="Open download.",
    citation="Liu et al., SLAKE, ISBI 2021 (arXiv 2102.09542)",
    human_text=True,
    api_clause="CC BY 4.0 sets no rule for hosted models.",
    redistribution="yes",
    commercial_use="yes",
    components=(
        Component(
            name="training questions",
            patterns=("train.json",),
            unit="rows",
            published=9_835,
            origin="read in the files",
        ),
        Component(
            name="validation questions",
            patterns=("validate.json",),
            unit="rows",
            published=2_099,
            origin="read in the files",
        ),
        Component(
            name="test questions",
            patterns=("test.json",),
            unit="rows",
            published=2_094,
            origin="read in the files",
        ),
        Component(
            name="images",
            patterns=("imgs/xmlab*/source.jpg",),
            published=642,
            origin="general knowledge",
            is_required=False,
        ),
    ),
    notes="The licence is general knowledge. The images come from three other open sets.",
)

SPLIT_FILES = {"train": "train.json", "validation": "validate.json", "test": "test.json"}
LANGUAGES = ("en", "zh")
IMAGES = "imgs"
MODALITIES = {"MRI": "mr", "CT": "ct", "X-Ray": "xray"}
BODY_PARTS = {
    "Abdomen": "abdomen", "Brain": "head_neck", "Brain_Face": "head_neck",
    "Brain_Tissue": "head_neck", "Neck": "head_neck", "Chest_heart": "thorax",
    "Chest_lung": "thorax", "Chest_mediastinal": "thorax", "Lung": "thorax",
    "Pelvic Cavity": "lower",
}  # fmt: skip
"""Owners' `location` -> ours."""

_TEXTS = (
    "img_name", "question", "answer", "q_lang", "location", "modality", "answer_type", "base_type",
    "content_type",
)  # fmt: skip
_LOGGER = logging.getLogger(__name__)

Row = dict[str, Any]
_Asked = tuple[str, str, Row]
"""Split, place in its file, row."""


def read(
    root: Path,
    refused: RefusalLog,
    *,
    splits: Sequence[str] = tuple(SPLIT_FILES),
    languages: Sequence[str] = LANGUAGES,
) -> Iterator[Record]:
    """Yields one record per image with all its questions, in the files' order.

    Args:
        root: Folder in the owners' layout.
        refused: Gets every question that cannot be used, with the reason.
        splits: Those to read; nothing of the others is touched or refused.
        languages: Questions in others are left out, which is no refusal.

    Raises:
        InputError: A table is missing or no JSON array, or a split or language is unknown.
    """
    _known("split", splits, SPLIT_FILES)
    _known("language", languages, LANGUAGES)
    images: dict[str, list[_Asked]] = {}
    seen: set[int] = set()
    for split in (one for one in SPLIT_FILES if one in splits):
        path = required_file(root, SPLIT_FILES[split])
        for item, row in object_rows(path, refused):
            try:
                check_row(row)
                if row["qid"] in seen:
                    raise InputError(
                        "this qid was already used; the first question is kept", kind="repeated_id"
                    )
            except InputError as error:
                refused.add(item, reason=str(error), kind=error.kind, file=path.name)
                continue
            seen.add(row["qid"])
            if row["q_lang"] in languages:
                images.setdefault(row["img_name"], []).append((split, item, row))
    with_images = (root / IMAGES).is_dir()
    if not with_images:
        _LOGGER.warning("%s: no folder %s/: questions are read without images", root, IMAGES)
    for name, asked in images.items():
        record = _record(root, name, asked, refused, with_images=with_images)
        if record is not None:
            yield record


def _known(what: str, chosen: Sequence[str], known: Sequence[str] | dict[str, str]) -> None:
    unknown = sorted(set(chosen) - set(known))
    if unknown:
        raise InputError(f"{what} {', '.join(unknown)}: expected {', '.join(known)}")


def check_row(row: Row) -> None:
    """Checks one of the owners' rows; only an answer may be empty.

    Raises:
        InputError: Names the field, never its content.
    """
    missing = [name for name in ("qid", *_TEXTS) if name not in row]
    if missing:
        raise InputError(f"no {', '.join(missing)}", kind="invalid_row")
    if not isinstance(row["qid"], int) or isinstance(row["qid"], bool):
        raise InputError(
            f"qid is {json_kind(row['qid'])}, expected a whole number", kind="invalid_row"
        )
    for name in _TEXTS:
        if not isinstance(row[name], str):
            found = json_kind(row[name])
            raise InputError(f"{name} is {found}, expected a text", kind="invalid_row")
    empty = [name for name in ("img_name", "question") if not row[name].strip()]
    if empty:
        raise InputError(f"empty {', '.join(empty)}", kind="invalid_row")
    for name, known in (
        ("q_lang", LANGUAGES),
        ("answer_type", ("OPEN", "CLOSED")),
        ("modality", tuple(MODALITIES)),
        ("location", tuple(BODY_PARTS)),
    ):
        if row[name] not in known:
            raise InputError(f"{name}: expected {', '.join(known)}", kind="invalid_row")


def _record(
    root: Path, name: str, asked: list[_Asked], refused: RefusalLog, *, with_images: bool
) -> Record | None:
    images: tuple[ImageRef, ...] = ()
    try:
        if with_images:
            inside(root / IMAGES, name)
            images = (probe_image(root, f"{IMAGES}/{name}", image_id="image"),)
    except InputError as error:
        for split, item, _ in asked:
            refused.add(item, reason=str(error), kind=error.kind, file=SPLIT_FILES[split])
        return None
    first = asked[0][2]
    return valid_record(
        asked[0][1],
        refused,
        file=SPLIT_FILES[asked[0][0]],
        record_id=f"slake/{name}",
        source="slake",
        group_id=name,
        images=images,
        modality=MODALITIES[first["modality"]],
        body_part=BODY_PARTS[first["location"]],
        qa=tuple(_qa(split, row, images) for split, _, row in asked),
        provenance=(OWNER,),
        licence=licence_of(CARD),
    )


def _qa(split: str, row: Row, images: Sequence[ImageRef]) -> QA:
    return QA(
        qa_id=str(row["qid"]),
        question=row["question"].strip(),
        answer=row["answer"].strip(),
        answer_type=row["answer_type"],
        question_type=row["content_type"],
        attributes=tuple(
            Attribute(name=name, value=row[name]) for name in ("q_lang", "base_type", "location")
        ),
        image_ids=tuple(image.image_id for image in images),
        split=split,
        provenance_id=OWNER.provenance_id,
    )


def write_twin(root: Path, *, cases: int, seed: int) -> None:
    """Writes a drawn twin in the layout above; see `data_modules.twins.slake`."""
    from data_modules.twins.slake import write_twin as write

    write(root, cases=cases, seed=seed)
