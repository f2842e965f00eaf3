"""What a benchmark asks and expects: one `Reference` per question."""

import re
from dataclasses import dataclass
from typing import Literal

AnswerType = Literal["CLOSED", "OPEN"]


@dataclass(frozen=True, kw_only=True)
class Reference:
    """One question of a benchmark with its gold answer.

    Attributes:
        id: The owner's id of the question as text; predictions are joined by it.
        question: The question as its owner wrote it.
        answer: Gold answer as text; never empty.
        answer_type: The owner's split into CLOSED and OPEN. It is not the same as yes/no and other.
        question_type: The owner's class of the question, as written; may be empty.
        image: The owner's name of the image; empty for a question without one.
        group: What intervals are clustered on: image, pair, patient or article.
        options: Texts of the options in the order of their letters; empty for a question without
            options. A text is empty where the owner's file gives letters only.
        letter: Letter of the right option; empty for a question without options.
        alternatives: Further gold answers that count as well.
        subsets: What it is scored apart with: language, subject, data set, kind of question.
    """

    id: str
    question: str
    answer: str
    answer_type: AnswerType
    question_type: str
    image: str
    group: str
    options: tuple[str, ...] = ()
    letter: str = ""
    alternatives: tuple[str, ...] = ()
    subsets: tuple[str, ...] = ()


def subset(kind: str, value: str) -> str:
    """Name of a subset, of letters, digits, blanks, ``.``, ``_`` and ``-`` only.

    Args:
        kind: What divides the questions, e.g. ``modality``.
        value: The owner's word; empty where it is not stated.
    """
    return f"{kind} {re.sub(r'[^A-Za-z0-9 ._-]+', '_', value).strip() or 'not stated'}"
