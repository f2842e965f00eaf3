"""OmniMedVQA: multiple choice about images of 73 medical data sets.

Owner: Hu et al. (Shanghai AI Laboratory, The University of Hong Kong).
URL: https://huggingface.co/datasets/foreverbeliever/OmniMedVQA
Licence: those of the 73 data sets.
Access: open download of a part; nothing is downloaded here.
Citation: Hu et al., "OmniMedVQA: a new large-scale comprehensive evaluation benchmark for medical
    LVLM", CVPR 2024 (arXiv 2402.09181).
Expected tree::

    <root>/
      QA_information/Open-access/<data set>.json        [{dataset, question_id, question_type,
                                                          question, gt_answer, image_path,
                                                          option_A .. option_D, modality_type}]
      QA_information/Restricted-access/<data set>.json  the same; their images are not shipped
      Images/<data set>/...                             image_path is relative to the root

Split policy: everything is for testing. Of a folder the Open-access files are read, which published
    numbers are about; a Restricted-access file can be named by itself.
Known (owners' card; loaders and a data report of third parties): 127,995 questions on 118,010
    images, of these 88,996 questions on 82,059 images of 42 data sets are open. Two to four
    options; the gold is the text of one. One entry of Chest CT Scan.json has `modality` instead of
    `modality_type`. Not checked on real files.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from data_modules.cells import image_of_cell
from data_modules.reading import each_table
from evaluation.benchmark_records import benchmark_record, qa_of
from evaluation.conventions import CHOICE_CONVENTIONS as CONVENTIONS
from evaluation.questions import Question, questions_of_records
from evaluation.references import Reference, subset
from semihvision.core.card import Card
from semihvision.core.components import Component
from semihvision.core.errors import InputError, RefusalLog
from semihvision.core.json_stream import object_rows
from semihvision.core.record import Record

__all__ = ["CARD", "CONVENTIONS", "load", "questions", "read", "write_twin"]

CARD = Card(
    name="omnimedvqa",
    title="OmniMedVQA",
    owner="Hu et al., Shanghai AI Laboratory",
    url="https://huggingface.co/datasets/foreverbeliever/OmniMedVQA",
    licence="per data set",
    access="Open download of the open-access part; the rest from the owners of its data sets.",
    citation="Hu et al., OmniMedVQA, CVPR 2024 (arXiv 2402.09181)",
    human_text=True,
    api_clause="The owners refer to the licence of each data set; its terms were not read.",
    redistribution="not stated",
    commercial_use="not stated",
    components=(
        Component(
            name="open questions",
            patterns=("QA_information/Open-access/*.json",),
            unit="rows",
            published=88_996,
            origin="third parties",
        ),
        Component(
            name="restricted questions",
            patterns=("QA_information/Restricted-access/*.json",),
            unit="rows",
            published=38_999,
            origin="third parties",
            is_required=False,
        ),
        Component(
            name="images",
            patterns=("Images/**/*.*",),
            published=82_059,
            origin="third parties",
        ),
    ),
    notes="A benchmark: for evaluation only.",
)

_TEXTS = ("question_id", "question", "gt_answer", "image_path")
_OPTIONS = ("option_A", "option_B", "option_C", "option_D")


class _Found(NamedTuple):
    """A question, and the file and place it stands in."""

    reference: Reference
    file: str
    item: str


def load(path: Path, refused: RefusalLog) -> list[Reference]:
    """Reads questions and golds.

    Args:
        path: The root, a folder of the owners' JSON files, or one of them.
        refused: Gets questions that cannot be used.

    Raises:
        InputError: No JSON file is there, or none is an array.
    """
    return [found.reference for found in _usable(path, refused)]


def _usable(path: Path, refused: RefusalLog) -> Iterator[_Found]:
    seen: set[str] = set()
    root = path.parent if path.is_file() else path
    yield from each_table(root, _files(path), refused, lambda file: _of_table(file, seen, refused))


def _of_table(file: Path, seen: set[str], refused: RefusalLog) -> Iterator[_Found]:
    for item, row in object_rows(file, refused):
        try:
            reference = _reference(row)
            if reference.id in seen:
                raise InputError(
                    "this question_id was already used; the first is kept", kind="repeated_id"
                )
        except InputError as error:
            refused.add(item, reason=str(error), kind=error.kind, file=file.name)
        else:
            seen.add(reference.id)
            yield _Found(reference, file.name, item)


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    folder = path / "QA_information" / "Open-access"
    found = sorted((folder if folder.is_dir() else path).glob("*.json"))
    if not found:
        raise InputError(f"{path}: no QA_information/Open-access/*.json, and no *.json")
    return found


def _reference(row: dict[str, Any]) -> Reference:
    for name in _TEXTS:
        if not isinstance(row.get(name), str) or not row[name].strip():
            raise InputError(f"{name}: expected text", kind="invalid_row")
    options = [row[name] for name in _OPTIONS if row.get(name) is not None]
    if len(options) < 2 or not all(isinstance(option, str) for option in options):
        raise InputError("expected two to four options of text", kind="invalid_row")
    options = [option.strip() for option in options]
    if options.count(row["gt_answer"].strip()) != 1:
        raise InputError("gt_answer: expected the text of exactly one option", kind="answer")
    place = options.index(row["gt_answer"].strip())
    question_type = str(row.get("question_type") or "")
    modality = str(row.get("modality_type") or row.get("modality") or "")
    return Reference(
        id=row["question_id"].strip(),
        question=row["question"].strip(),
        answer=options[place],
        answer_type="CLOSED",
        question_type=question_type,
        image=row["image_path"],
        group=row["image_path"],
        options=tuple(options),
        letter="ABCD"[place],
        subsets=(subset("type", question_type), subset("modality", modality)),
    )


def read(root: Path, refused: RefusalLog) -> Iterator[Record]:
    """Yields one record per image with its open-access questions; every image is opened once.

    Args:
        root: Folder in the owners' layout.
        refused: Gets questions that cannot be used, with the reason.

    Raises:
        InputError: No JSON file is there, or none is an array.
    """
    images: dict[str, list[_Found]] = {}
    for one in _usable(root, refused):
        images.setdefault(one.reference.image, []).append(one)
    for path, asked in images.items():
        try:
            image = image_of_cell(root, path, image_id="image")
        except InputError as error:
            for one in asked:
                refused.add(one.item, reason=str(error), kind=error.kind, file=one.file)
            continue
        qa = [qa_of(one.reference, ["image"]) for one in asked]
        yield benchmark_record(CARD, path, group=path, images=[image], qa=qa)


def questions(root: Path, refused: RefusalLog) -> list[Question]:
    """The open-access questions with their images.

    Raises:
        InputError: As from `read`.
    """
    return questions_of_records(read(root, refused), root)


def write_twin(root: Path, *, cases: int, seed: int) -> None:
    """Writes a drawn twin in the layout above; see `data_modules.twins.omnimedvqa`."""
    from data_modules.twins.omnimedvqa import write_twin as write

    write(root, cases=cases, seed=seed)
