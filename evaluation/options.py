"""Which option an answer names, by rule; never a guess."""

import re
from collections.abc import Sequence

LETTERS = "ABCDEFGHIJ"

_LEADING = re.compile(r"\W*([A-J])(?:[.):,;\]]|\*\*|\s*\n|\s*$)")
"""A letter in front: "B", "B.", "(B) ...", "**B**"; not "A 58-year-old man"."""
_STATED = re.compile(
    r"\b(?i:(?:answer|choice|option)\s*(?:is|would be|:|=)|choose|select)\s+"
    r"(?i:option\s+)?[(*]*(?:([B-HJ])\b|([AI])(?=[.):,;*\]]|\s*$|\s(?:or|and|because|since)\b))",
    re.MULTILINE,
)
""" "The answer is B", "Answer: (B)", "I choose option B". A and I are words, too ("the answer is A
large mass"), so they need a mark, the line's end or a conjunction behind."""


def chosen_option(answer: str, options: Sequence[str]) -> int | None:
    """The option that an answer chooses, by rule.

    In this order: a letter in front ("B. ...", "(B)", "B" alone), as the question asks for; the
    letters after "the answer is" and the like, if they are all the same; the only option whose text
    stands in the answer. No rule applies, or the last finds several: no choice, never a guess.

    Args:
        answer: The model's whole answer.
        options: Texts of the options.

    Returns:
        Place in `options`; None where the answer names none or several.
    """
    letters = LETTERS[: len(options)]
    leading = _LEADING.match(answer)
    if leading and leading.group(1) in letters:
        return letters.index(leading.group(1))
    stated = {one or other for one, other in _STATED.findall(answer)} & set(letters)
    if len(stated) == 1:
        return letters.index(stated.pop())
    words = words_of(answer)
    named = [place for place, option in enumerate(options) if _contains(words, words_of(option))]
    return named[0] if len(named) == 1 else None


def words_of(text: str) -> list[str]:
    """Words and numbers of a text, in lower case."""
    return re.findall(r"[^\W_]+", text.casefold())


def _contains(words: Sequence[str], part: Sequence[str]) -> bool:
    return f" {' '.join(part)} " in f" {' '.join(words)} "
