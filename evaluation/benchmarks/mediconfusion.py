"""MediConfusion: one question about two images that look alike to models, with different answers.

Owner: Sepehri et al. (University of Southern California).
URL: https://github.com/AIF4S/MediConfusion
Licence: MIT.
Access: open download; nothing is downloaded here (the owners' script gets the images from PMC).
Citation: Sepehri et al., "MediConfusion: can you trust your AI radiologist?", ICLR 2025 (arXiv
    2409.15477).
Expected tree (the owners' repository)::

    <root>/data/dataset.json            {pair: {question, option_A, option_B, im_1, im_2,
                                         im_1_local, im_2_local, im_1_correct, im_2_correct,
                                         category_1, category_2, ...}}
    <root>/data/images/<im_1_local>.jpg

Split policy: everything is for testing. The two images of a pair are one group.
Known (owners' repository at a97dd97): 176 pairs, 352 questions; a question's id is ``<pair>/im1``
    or ``<pair>/im2``. An image may be in several pairs and categories. Also in the rows: captions
    and a language model's first wording (`AI_question`), which are not read. Not checked on the
    whole file.
Deviation: in a category's own scores a pair counts if both its images have that category; the
    owners' count each image's categories.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from evaluation.benchmark_records import benchmark_record, qa_of
from evaluation.conventions import MEDICONFUSION_CONVENTIONS as CONVENTIONS
from evaluation.questions import Question, questions_of_records
from evaluation.references import Reference, subset
from semihvision.core.card import Card
from semihvision.core.components import Component
from semihvision.core.errors import InputError, RefusalLog
from semihvision.core.images import probe_image
from semihvision.core.json_files import read_json
from semihvision.core.reasons import json_kind
from semihvision.core.record import Record

__all__ = ["CARD", "CONVENTIONS", "load", "questions", "read", "write_twin"]

CARD = Card(
    name="mediconfusion",
    title="MediConfusion",
    owner="Sepehri et al., University of Southern California",
    url="https://github.com/AIF4S/MediConfusion",
    licence="MIT",
    licence_url="https://opensource.org/license/mit",
    access="Open download; images from PubMed Central by the owners' script.",
    citation="Sepehri et al., MediConfusion, ICLR 2025 (arXiv 2409.15477)",
    human_text=True,
    api_clause="MIT sets no rule for hosted models; the figures keep their articles' licences.",
    redistribution="conditional",
    commercial_use="conditional",
    components=(
        Component(name="pairs", patterns=("data/dataset.json", "dataset.json")),
        Component(name="images", patterns=("data/images/*.jpg", "images/*.jpg")),
    ),
    notes="A benchmark: for evaluation only. The images are figures of PMC articles (ROCO).",
)

_TEXTS = ("question", "option_A", "option_B")


class _Asked(NamedTuple):
    """One image of a pair: the question about it, and its file's name."""

    reference: Reference
    image: str


def load(path: Path, refused: RefusalLog) -> list[Reference]:
    """Reads questions and golds, two of each pair.

    Args:
        path: The owners' ``dataset.json``, or their folder.
        refused: Gets pairs that cannot be used, whole.

    Raises:
        InputError: The file is missing or no object of pairs.
    """
    return [asked.reference for pair in _pairs(path, refused) for asked in pair]


def _file(path: Path) -> Path:
    if not path.is_dir():
        return path
    for name in ("data/dataset.json", "dataset.json"):
        if (path / name).is_file():
            return path / name
    raise InputError(f"{path}: no data/dataset.json")


def _pairs(path: Path, refused: RefusalLog) -> Iterator[tuple[_Asked, _Asked]]:
    file = _file(path)
    seen: set[str] = set()
    for name, row in _named_rows(file):
        try:
            if name in seen:
                raise InputError(
                    "this pair is there already; the first is kept", kind="repeated_id"
                )
            pair = _asked(name, row, 1), _asked(name, row, 2)
        except InputError as error:
            refused.add(name, reason=str(error), kind=error.kind, file=file.name)
        else:
            seen.add(name)
            yield pair


def _named_rows(file: Path) -> list[tuple[str, Any]]:
    """Names and rows of all pairs; of a dictionary only the last of a name would be left."""
    last: list[tuple[str, Any]] = []

    def on_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        last[:] = pairs  # the outermost object is closed last
        return dict(pairs)

    document = read_json(file, on_pairs=on_pairs)
    if not isinstance(document, dict):
        raise InputError(f"{file}: found {json_kind(document)}, expected pairs by id")
    return last


def _asked(pair: str, row: Any, number: int) -> _Asked:
    if not isinstance(row, dict):
        raise InputError(f"found {json_kind(row)}, expected an object", kind="broken_json")
    for name in _TEXTS:
        if not isinstance(row.get(name), str) or not row[name].strip():
            raise InputError(f"{name}: expected text", kind="invalid_row")
    letter = row.get(f"im_{number}_correct")
    if letter not in ("A", "B") or letter == row.get(f"im_{3 - number}_correct"):
        raise InputError("im_1_correct, im_2_correct: expected A and B, one each", kind="answer")
    image, categories = row.get(f"im_{number}_local"), row.get(f"category_{number}")
    if not isinstance(image, int) or not isinstance(categories, list):
        raise InputError(
            f"im_{number}_local, category_{number}: expected a number and a list",
            kind="invalid_row",
        )
    options = (row["option_A"].strip(), row["option_B"].strip())
    reference = Reference(
        id=f"{pair}/im{number}",
        question=row["question"].strip(),
        answer=options["AB".index(letter)],
        answer_type="CLOSED",
        question_type="",
        image=str(image),
        group=pair,
        options=options,
        letter=letter,
        subsets=tuple(dict.fromkeys(subset("category", str(one)) for one in categories)),
    )
    return _Asked(reference, f"images/{image}.jpg")


def read(root: Path, refused: RefusalLog) -> Iterator[Record]:
    """Yields one record per pair with both images and a question about each.

    Args:
        root: Folder in the owners' layout.
        refused: Gets pairs that cannot be used, with the reason.

    Raises:
        InputError: The owners' file is missing or no object of pairs.
    """
    folder = _file(root).parent.relative_to(root)
    for pair in _pairs(root, refused):
        name = pair[0].reference.group
        try:
            images = [
                probe_image(root, str(folder / asked.image), image_id=f"im{number}")
                for number, asked in enumerate(pair, start=1)
            ]
        except InputError as error:
            refused.add(name, reason=str(error), kind=error.kind, file="dataset.json")
            continue
        qa = [
            qa_of(asked.reference, [image.image_id])
            for asked, image in zip(pair, images, strict=True)
        ]
        yield benchmark_record(CARD, name, group=name, images=images, qa=qa)


def questions(root: Path, refused: RefusalLog) -> list[Question]:
    """Both questions of every pair with their images; a pair with a missing image is refused.

    Raises:
        InputError: As from `read`.
    """
    return questions_of_records(read(root, refused), root)


def write_twin(root: Path, *, cases: int, seed: int) -> None:
    """Writes a drawn twin in the layout above; see `data_modules.twins.mediconfusion`."""
    from data_modules.twins.mediconfusion import write_twin as write

    write(root, cases=cases, seed=seed)
