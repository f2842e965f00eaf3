"""SLAKE's test questions: closed and open, English and Chinese (layout: `data_modules.slake`).

2,094 test questions on 180 images: English 1,061 (645 open, 416 closed) on 96 images, Chinese
1,033. Published numbers are nearly always on the English ones: compare with subset ``en``. 61
closed English answers are neither yes nor no. Chinese is written without blanks, so that word
scores compare whole answers. Intervals are clustered on the image.
"""

from pathlib import Path
from typing import Any, cast

from data_modules import slake
from evaluation.conventions import SLAKE_CONVENTIONS as CONVENTIONS
from evaluation.questions import Question, questions_of_records
from evaluation.references import AnswerType, Reference
from semihvision.core.errors import InputError, RefusalLog
from semihvision.core.json_stream import object_rows

__all__ = ["CONVENTIONS", "load", "questions"]


def load(path: Path, refused: RefusalLog) -> list[Reference]:
    """Reads ``test.json``, ``validate.json`` or ``train.json``.

    Args:
        path: One of the owners' files, or their folder for ``test.json``.
        refused: Gets questions that cannot be used; one without an answer cannot be scored.

    Raises:
        InputError: The file is no array of rows.
    """
    path = path / slake.SPLIT_FILES["test"] if path.is_dir() else path
    references: dict[str, Reference] = {}
    for item, row in object_rows(path, refused):
        try:
            slake.check_row(row)
            if not row["answer"].strip():
                raise InputError("no answer to compare with", kind="no_gold")
            if str(row["qid"]) in references:
                raise InputError("this qid was already used; the first is kept", kind="repeated_id")
        except InputError as error:
            refused.add(item, reason=str(error), kind=error.kind, file=path.name)
        else:
            references[str(row["qid"])] = _reference(row)
    return list(references.values())


def _reference(row: dict[str, Any]) -> Reference:
    return Reference(
        id=str(row["qid"]),
        question=row["question"],
        answer=row["answer"].strip(),
        answer_type=cast(AnswerType, row["answer_type"]),
        question_type=row["content_type"],
        image=row["img_name"],
        group=row["img_name"],
        subsets=(row["q_lang"],),
    )


def questions(root: Path, refused: RefusalLog) -> list[Question]:
    """The test questions with their images, in both languages.

    Raises:
        InputError: The folder of images is not there.
    """
    if not (root / slake.IMAGES).is_dir():
        raise InputError(f"{root}: no folder {slake.IMAGES}/ with the images that are asked about")
    return questions_of_records(slake.read(root, refused, splits=("test",)), root)
