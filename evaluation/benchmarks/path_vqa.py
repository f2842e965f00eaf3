"""PathVQA's test questions (layout: `data_modules.path_vqa`).

6,761 test questions on 858 images, 3,391 of them yes/no (CLOSED). The owners give no ids: a
question's id is ``<img_id>/<place from 0>``. The Hugging Face form without repeated questions
(6,719) is another set of questions and is not read. Intervals are clustered on the image.
"""

from pathlib import Path

from data_modules import path_vqa
from evaluation.conventions import PATH_VQA_CONVENTIONS as CONVENTIONS
from evaluation.questions import Question, questions_of_records
from evaluation.references import Reference
from semihvision.core.errors import InputError, RefusalLog
from semihvision.core.json_stream import object_rows

__all__ = ["CONVENTIONS", "load", "questions"]


def load(path: Path, refused: RefusalLog) -> list[Reference]:
    """Reads ``pvqa_test.json``, or the file of another split.

    Args:
        path: One of the owners' files, or their folder for the test questions.
        refused: Gets entries that cannot be used.

    Raises:
        InputError: The file is no array of entries.
    """
    path = path / "pvqa_test.json" if path.is_dir() else path
    seen: set[str] = set()
    references: list[Reference] = []
    for item, row in object_rows(path, refused):
        try:
            image_id, pairs = path_vqa.pairs_of(row)
            if image_id in seen:
                raise InputError("this img_id was there already", kind="repeated_id")
        except InputError as error:
            refused.add(item, reason=str(error), kind=error.kind, file=path.name)
            continue
        seen.add(image_id)
        references += [_reference(image_id, pair) for pair in pairs]
    return references


def _reference(image_id: str, pair: path_vqa.Pair) -> Reference:
    return Reference(
        id=pair.qa_id,
        question=pair.question,
        answer=pair.answer,
        answer_type="CLOSED" if pair.answer_type == "CLOSED" else "OPEN",
        question_type="",
        image=image_id,
        group=image_id,
    )


def questions(root: Path, refused: RefusalLog) -> list[Question]:
    """The test questions with their images.

    Raises:
        InputError: The folder of images is not there.
    """
    if not (root / path_vqa.IMAGES).is_dir():
        raise InputError(
            f"{root}: no folder {path_vqa.IMAGES}/ with the images that are asked about"
        )
    return questions_of_records(path_vqa.read(root, refused, splits=("test",)), root)
