"""The four options of a JAMA case, and which one is right."""

import re
from typing import Any

from semihvision.core.errors import InputError

LETTERS = "ABCD"
OPTION_FIELDS = ("opa", "opb", "opc", "opd")
_LETTER = re.compile(r"^\(?[A-D][.):]\s*")
"""A letter that repeats an option's place: "A. Sarcoidosis", "(A) ..."; not "A large mass"."""


def options_of(row: dict[str, Any]) -> tuple[str, ...]:
    """The texts of the options, without letters that repeat their places.

    Raises:
        InputError: One is empty, or two are the same.
    """
    texts = [text_of(row, field) for field in OPTION_FIELDS]
    if [text.lstrip("(")[:1] for text in texts if _LETTER.match(text)] == list(LETTERS):
        texts = [_LETTER.sub("", text) for text in texts]
    if not all(texts) or len({text.casefold() for text in texts}) < len(texts):
        names = ", ".join(OPTION_FIELDS)
        raise InputError(f"{names}: expected four different non-empty texts", kind="options")
    return tuple(texts)


def answer_index(row: dict[str, Any], options: tuple[str, ...]) -> int:
    """Place of the right option, from `answer_idx` (a letter or a position) and `answer`.

    A position may count from 0 or from 1, which `answer` decides; the two must agree.
    """
    fitting = set(range(len(options)))
    index = row.get("answer_idx")
    given = "" if index is None else str(index).strip().upper()
    if given and given in LETTERS:
        fitting = {LETTERS.index(given)}
    elif given in ("0", "1", "2", "3", "4"):
        fitting &= {int(given), int(given) - 1}
    elif given:
        raise InputError("answer_idx: expected a letter A to D or a place 0 to 4", kind="answer")
    answer = text_of(row, "answer")
    if answer:
        fitting &= {
            place
            for place, (letter, option) in enumerate(zip(LETTERS, options, strict=True))
            if _names(answer, letter, option)
        }
    if len(fitting) != 1:
        reason = "answer_idx and answer: expected them to name one and the same option"
        raise InputError(reason, kind="answer")
    return fitting.pop()


def _names(answer: str, letter: str, option: str) -> bool:
    """Whether an answer is this option: its letter, its text, or both."""
    if answer.lstrip("(")[:1] == letter and _same(_LETTER.sub("", answer), option):
        return True
    return _same(answer, letter) or _same(answer, option)


def _same(one: str, other: str) -> bool:
    """Equal but for case, runs of blanks and a final period."""
    return one.casefold().rstrip(".").split() == other.casefold().rstrip(".").split()


def text_of(row: dict[str, Any], field: str) -> str:
    """The text of a field; empty where it holds none."""
    value = row.get(field)
    return value.strip() if isinstance(value, str) else ""
