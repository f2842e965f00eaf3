"""MMMU's own rules for multiple choice and for short answers.

Source: MMMU-Benchmark/MMMU@bb0b95a ``eval/eval_utils.py`` (``parse_multi_choice_response``,
``parse_open_response``, ``eval_open``), ``eval/main_parse_and_eval.py``.
"""

import re

from evaluation.conventions.choice import ChoiceConvention, letters_of
from evaluation.references import Reference

_STRIPPED = ",.!?;:'"
_KEY_PHRASES = ("could be ", "so ", "is ", "thus ", "therefore ", "final ", "answer ", "result ")
_TRIVIAL = frozenset(":,.!?;'")
_NUMBERS = (
    re.compile(r"-?\b\d{1,3}(?:,\d{3})+\b"),
    re.compile(r"-?\d+(?:\.\d+)?[eE][+-]?\d+"),
    re.compile(r"-?(?:\d+\.\d+|\.\d+|\d+\b)(?![eE][+-]?\d+)(?![,\d])"),
)
"""With thousands commas, in scientific notation, plain."""


def choose(answer: str, reference: Reference) -> str | None:
    """The letter that MMMU's parser finds.

    Marks are stripped at both ends, one kind after the other. Then "(A)"; else " A "; else, in an
    answer of more than five words, the text of an option. Of several, the one that occurs last.
    Quirks, kept: "A." inside a sentence and "A)" are not seen; the article "A" is a letter.
    Deviation: an option whose text is not known is not looked for.

    Returns:
        None where MMMU would choose at random.
    """
    for mark in _STRIPPED:
        answer = answer.strip(mark)
    text = f" {answer} "
    letters = letters_of(reference)
    for form in ("({})", " {} "):
        found = {letter: text.rfind(form.format(letter)) for letter in letters}
        found = {letter: place for letter, place in found.items() if place >= 0}
        if found:
            return max(found, key=lambda letter: found[letter])
    if len(text.split()) <= 5:
        return None
    places = {
        letter: text.lower().rfind(option.lower())
        for letter, option in zip(letters, reference.options, strict=True)
        if option
    }
    named = [letter for letter in places if places[letter] >= 0]
    return max(named, key=lambda letter: places[letter]) if named else None


def short_answer(answer: str, reference: Reference) -> bool:
    """Whether a short answer is right by MMMU's rules.

    What follows a key phrase ("is ...", "answer ...", the shortest of each line) and the numbers in
    it are compared with the golds: numbers by equality after rounding to two decimals, texts by
    containment, single letters with a blank on one side.
    """
    golds = [
        form for gold in (reference.answer, *reference.alternatives) for form in _normalised(gold)
    ]
    texts = [gold for gold in golds if isinstance(gold, str)]
    return any(
        any(gold in said for gold in texts) if isinstance(said, str) else said in golds
        for said in _said(answer)
    )


def _said(answer: str) -> list[str | float]:
    lines = answer.strip().strip(".").lower()
    # The official code also splits at a period before a capital, after it has lower-cased the text.
    tails = [_shortest_tail(line, last=False) for line in lines.split("\n")[:-1]]
    tails.append(_shortest_tail(lines.split("\n")[-1], last=True))
    keys = [tail for tail in tails if tail and tail not in _TRIVIAL] or [lines]
    numbers = [found for key in keys for form in _NUMBERS for found in form.findall(key)]
    return [form for text in (*keys, *numbers) for form in _normalised(text)]


def _shortest_tail(line: str, *, last: bool) -> str:
    """The shortest text that follows a key phrase; "=" is one in the last line."""
    phrases = (*_KEY_PHRASES, "=") if last else _KEY_PHRASES
    tails = [line.rpartition(phrase)[2].strip() for phrase in phrases if phrase in line]
    # An empty tail is replaced by the next phrase's in the official code, whatever its length.
    shortest = ""
    for tail in tails:
        if not shortest or len(tail) < len(shortest):
            shortest = tail
    return shortest


def _normalised(text: str) -> list[str | float]:
    text = text.strip()
    try:
        return [round(float(text.replace(",", "")), 2)]
    except ValueError:
        lower = text.lower()
        return [" " + lower, lower + " "] if len(lower) == 1 else [lower]


MMMU = ChoiceConvention(
    summary="MMMU's parser; where it would choose at random, the answer is wrong",
    choose=choose,
    short=short_answer,
)
"""MMMU without its random choice. Formula: hits / n."""

MMMU_RANDOM = ChoiceConvention(
    summary="MMMU's parser as published: an answer that names no option gets a random one",
    choose=choose,
    short=short_answer,
    fallback_seed=42,
)
"""MMMU as published. Formula: hits / n; ``unparsable`` says how many choices were random.

Deviation: the random stream starts at the first question that is scored. The official one runs over
all 30 subjects, so that scoring a subset alone shifts it.
"""
