"""PathVQA: questions and answers about figures of pathology textbooks and an image library.

Owner: He et al. (UC San Diego).
URL: https://github.com/UCSD-AI4H/PathVQA
Licence: MIT.
Access: open download; nothing is downloaded here.
Citation: He et al., "PathVQA: 30000+ questions for medical visual question answering", 2020 (arXiv
    2003.10286).
Expected tree (the owners' LXMERT form)::

    <root>/
      pvqa_train.json pvqa_val.json pvqa_test.json
                                       [{img_id, sentf: {pvqa: [question]},
                                         labelf: {pvqa: [{answer: 1}]}}]
      images/<split>/<img_id>.jpg      split is train, val or test

    Where the folder images/ is not there at all, the questions are read without images (said in a
    warning); where it is, a missing image costs its questions. The owners' pickle files are not
    read: a pickle can run anything.

Split policy: the owners'; every image belongs to one split. One image is one record and one group;
    images of one textbook page may be in several splits, which cannot be seen here.
Known (read in the files): question i pairs with answer i. 19,755 / 6,279 / 6,761 questions on 2,599
    / 832 / 858 images; 422 / 160 / 133 further entries have no question and give no record. Yes and
    no are 9,806 / 3,135 / 3,391 of the answers: these are CLOSED here, the owners give no type. 316
    answers have outer blanks, which are removed; 163 questions stand twice at one image and are
    kept. The folder of images is general knowledge, not checked.
"""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from data_modules.reading import OWNER, licence_of
from semihvision.core.card import Card
from semihvision.core.components import Component
from semihvision.core.errors import InputError, RefusalLog
from semihvision.core.images import probe_image
from semihvision.core.json_stream import object_rows
from semihvision.core.record import QA, ImageRef, Record
from semihvision.core.tables import required_file

CARD = Card(
    name="path_vqa",
    title="PathVQA",
    owner="He et al., UC San Diego",
    url="https://github.com/UCSD-AI4H/PathVQA",
    licence="MIT",
    licence_url="https://opensource.org/license/mit",
    access="Open download.",
    citation="He et al., PathVQA, 2020 (arXiv 2003.10286)",
    human_text=True,
    api_clause="MIT sets no rule for hosted models; the figures stay with their publishers.",
    redistribution="conditional",
    commercial_use="conditional",
    components=(
        Component(
            name="training images' questions",
            patterns=("pvqa_train.json",),
            unit="rows",
            published=3_021,
            origin="read in the files",
        ),
        Component(
            name="validation images' questions",
            patterns=("pvqa_val.json",),
            unit="rows",
            published=992,
            origin="read in the files",
        ),
        Component(
            name="test images' questions",
            patterns=("pvqa_test.json",),
            unit="rows",
            published=991,
            origin="read in the files",
        ),
        Component(
            name="images",
            patterns=("images/*/*.jpg",),
            published=5_004,
            origin="read in the files",
            is_required=False,
        ),
    ),
    notes=(
        "MIT is the repository's licence. Figures and captions, which the questions were made "
        "from, stay with the publishers of the textbooks."
    ),
)

SPLITS = {"train": "train", "val": "validation", "test": "test"}
"""Owners' names in files and folders -> ours."""
IMAGES = "images"

_LOGGER = logging.getLogger(__name__)


class Pair(NamedTuple):
    """A question and its answer."""

    qa_id: str
    question: str
    answer: str

    @property
    def answer_type(self) -> str:
        """CLOSED where the answer is yes or no."""
        return "CLOSED" if self.answer.lower() in ("yes", "no") else "OPEN"


def read(
    root: Path, refused: RefusalLog, *, splits: Sequence[str] = tuple(SPLITS)
) -> Iterator[Record]:
    """Yields one record per image that has questions, in the files' order.

    Args:
        root: Folder in the owners' layout.
        refused: Gets entries that cannot be used, with the reason.
        splits: Those to read, in the owners' names: train, val, test.

    Raises:
        InputError: A table is missing or no JSON array, or a split is unknown.
    """
    unknown = sorted(set(splits) - set(SPLITS))
    if unknown:
        raise InputError(f"split {', '.join(unknown)}: expected {', '.join(SPLITS)}")
    with_images = (root / IMAGES).is_dir()
    if not with_images:
        _LOGGER.warning("%s: no folder %s/: questions are read without images", root, IMAGES)
    seen: set[str] = set()
    for split in (one for one in SPLITS if one in splits):
        path = required_file(root, f"pvqa_{split}.json")
        for item, row in object_rows(path, refused):
            try:
                image_id, pairs = pairs_of(row)
                if image_id in seen:
                    raise InputError("this img_id was there already", kind="repeated_id")
                seen.add(image_id)
                if not pairs:
                    continue
                images = _images(root, split, image_id) if with_images else ()
            except InputError as error:
                refused.add(item, reason=str(error), kind=error.kind, file=path.name)
                continue
            yield _record(SPLITS[split], image_id, pairs, images)


def pairs_of(row: dict[str, Any]) -> tuple[str, list[Pair]]:
    """Image id, and the questions of one entry; a question's id is ``<img_id>/<place from 0>``.

    Raises:
        InputError: Names what is wrong, never its content.
    """
    image_id = row.get("img_id")
    if not isinstance(image_id, str) or not image_id.strip() or "/" in image_id:
        raise InputError("img_id: expected text without a slash", kind="invalid_row")
    questions, labels = _listed(row, "sentf"), _listed(row, "labelf")
    if len(questions) != len(labels):
        raise InputError(
            f"{len(questions)} questions and {len(labels)} answers; expected as many",
            kind="invalid_row",
        )
    pairs = []
    for place, (question, label) in enumerate(zip(questions, labels, strict=True)):
        if not isinstance(label, dict) or len(label) != 1:
            raise InputError(f"answer {place}: expected one answer with its weight", kind="answer")
        answer = str(next(iter(label))).strip()
        if not isinstance(question, str) or not question.strip() or not answer:
            raise InputError(f"question or answer {place} is empty or no text", kind="invalid_row")
        pairs.append(Pair(f"{image_id}/{place}", question.strip(), answer))
    return image_id, pairs


def _listed(row: dict[str, Any], name: str) -> list[Any]:
    outer = row.get(name)
    found = outer.get("pvqa") if isinstance(outer, dict) else None
    if not isinstance(found, list):
        raise InputError(f"{name}: expected an object with a list pvqa", kind="invalid_row")
    return found


def _images(root: Path, split: str, image_id: str) -> tuple[ImageRef, ...]:
    return (probe_image(root, f"{IMAGES}/{split}/{image_id}.jpg", image_id="image"),)


def _record(
    split: str, image_id: str, pairs: Sequence[Pair], images: tuple[ImageRef, ...]
) -> Record:
    return Record(
        record_id=f"path_vqa/{image_id}",
        source="path_vqa",
        group_id=image_id,
        split=split,
        images=images,
        qa=tuple(
            QA(
                qa_id=pair.qa_id,
                question=pair.question,
                answer=pair.answer,
                answer_type=pair.answer_type,
                image_ids=tuple(image.image_id for image in images),
                split=split,
                provenance_id=OWNER.provenance_id,
            )
            for pair in pairs
        ),
        provenance=(OWNER,),
        licence=licence_of(CARD),
    )


def write_twin(root: Path, *, cases: int, seed: int) -> None:
    """Writes a drawn twin in the layout above; see `data_modules.twins.path_vqa`."""
    from data_modules.twins.path_vqa import write_twin as write

    write(root, cases=cases, seed=seed)
