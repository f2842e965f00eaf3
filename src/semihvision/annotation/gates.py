"""Quality gates on generated parts: pure functions of record, draft and settings.

A gate either refuses a part (it does not enter the record) or only marks it (`supported`). Every
outcome stands in the part's provenance.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from semihvision.annotation.draft import Draft
from semihvision.annotation.facts import facts
from semihvision.annotation.settings import AnnotationSettings
from semihvision.core.record import Gate, Record
from semihvision.core.splits import is_test

REFUSING = ("not_empty", "no_apology", "images_known", "not_copied", "not_duplicate")
"""Gates that keep a part out; `supported` only marks."""

UNVERIFIED = "unverified"

_APOLOGY = re.compile(
    r"\bsorry\b|\bas an ai\b|\bi(?:'m| am) (?:unable|not able)\b"
    r"|\bi (?:cannot|can't|can not|won't) \w+",
    re.IGNORECASE,
)
_WORD = re.compile(r"[^\W_]+(?:\.\d+)?", re.UNICODE)
_SIDE = re.compile(r"\b(left|right|bilateral|both sides)\b", re.IGNORECASE)
_SIZE = re.compile(
    r"(\d+(?:\.\d+)?)(?:\s*(?:x|by|×|\*)\s*(\d+(?:\.\d+)?))?\s*-?\s*(mm|cm|millimet\w+|centimet\w+)\b",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"(?<![\w.,-])(\d+(?:\.\d+)?)(?![\w%]|[.,]\d)")
_IMAGE_NUMBER = re.compile(r"\bimages? \d+(?:(?:,| and) \d+)*", re.IGNORECASE)
_COUNT_WORDS = {
    "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9,
    "ten": 10, "single": 1, "solitary": 1, "multiple": None, "several": None, "numerous": None,
}  # fmt: skip
_SIZE_TOLERANCE = 0.1
"""Sizes within 10 % (at least 1 mm) of an own one are supported: rounding, not invention."""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What the record's own regions, labels and texts say about side, number and size.

    Attributes:
        text: All own words, lower case.
        sides: Sides stated.
        numbers: Numbers stated, counts of regions included.
        sizes_mm: Sizes stated or measured from boxes, in millimetres.
        several: Whether more than one region is marked.
        single: Whether exactly one region is marked.
        ngrams: Own n-grams of words.
    """

    text: str
    sides: frozenset[str]
    numbers: frozenset[float]
    sizes_mm: tuple[float, ...]
    several: bool
    single: bool
    ngrams: frozenset[tuple[str, ...]]


def evidence(record: Record, settings: AnnotationSettings) -> Evidence:
    """Collects the evidence of a record: what people and owners stated, nothing generated.

    Questions of the test split are no evidence: their answers must not shape what is trained on.
    """
    human = {p.provenance_id for p in record.provenance if p.producer in ("human", "reviewer")}
    known = facts(record)
    said = [text.text for text in record.texts if text.provenance_id in human]
    for qa in record.qa:
        if qa.provenance_id in human and not is_test(qa.split or record.split):
            said += [qa.question, qa.answer, *qa.options]
    said += [f"{name}: {value}" for name, value in known.lines()]
    text = "\n".join(said)
    boxes = [side for region in known.regions if region.size_mm for side in region.size_mm]
    counts = _counts([region.image_number for region in known.regions])
    return Evidence(
        text=text.lower(),
        sides=frozenset(known.sides) | frozenset(_sides(text)),
        numbers=frozenset(_numbers(text)) | frozenset(map(float, counts)),
        sizes_mm=(*_sizes_mm(text), *boxes),
        several=len(known.regions) > 1,
        single=len(known.regions) == 1,
        ngrams=frozenset(_ngrams(text, settings.copied_ngram)),
    )


def check(
    parts: Iterable[str],
    image_ids: Iterable[str],
    *,
    seen: bool,
    draft: Draft,
    own: Evidence,
    settings: AnnotationSettings,
) -> tuple[Gate, ...]:
    """Puts one caption, or one question with its answer, through every gate.

    Args:
        parts: The texts of the part.
        image_ids: The images it claims to be about.
        seen: Whether the record or the draft already holds the same question.
        draft: The draft it comes from, with the retrieved texts.
        own: The record's evidence.
        settings: Length of a copied n-gram.
    """
    texts = list(parts)
    whole = "\n".join(texts)
    unknown = [image_id for image_id in image_ids if image_id not in draft.image_ids]
    copied = _copied(whole, draft, own, settings.copied_ngram)
    unsupported = unsupported_claims(whole, own)
    return (
        _gate("not_empty", all(text.strip() for text in texts), "an empty text"),
        _gate("no_apology", not _APOLOGY.search(whole), "the reply excuses itself"),
        _gate("images_known", not unknown, "names an image that was not shown"),
        _gate("not_copied", not copied, f"copied from {', '.join(copied)}"),
        _gate("not_duplicate", not seen, "the same question stands in the record"),
        _gate("supported", not unsupported, f"{UNVERIFIED}: {', '.join(unsupported)}"),
    )


def refused_by(gates: Iterable[Gate]) -> list[Gate]:
    """The gates that keep a part out."""
    return [gate for gate in gates if not gate.passed and gate.name in REFUSING]


def unsupported_claims(text: str, own: Evidence) -> list[str]:
    """Kinds of statement (``side``, ``number``, ``size``) without support in the evidence."""
    sizes = _sizes_mm(text)
    without_sizes = _IMAGE_NUMBER.sub(" ", _SIZE.sub(" ", text))
    sides = set(_sides(text))
    if {"left", "right"} <= own.sides:
        sides.discard("bilateral")
    claims = []
    if sides - own.sides:
        claims.append("side")
    if not all(_number_known(value, own) for value in _numbers(without_sizes)) or any(
        not _count_known(word, own) for word in _count_words(text)
    ):
        claims.append("number")
    if not all(_size_known(size, own) for size in sizes):
        claims.append("size")
    return claims


def _gate(name: str, passed: bool, detail: str) -> Gate:
    return Gate(name=name, passed=passed, detail="" if passed else detail)


def _copied(text: str, draft: Draft, own: Evidence, length: int) -> list[str]:
    """Retrieved items with which the text shares an n-gram that is not the record's own."""
    mine = _ngrams(text, length) - own.ngrams
    return [item.ref for item in draft.context if mine & _ngrams(item.text, length)]


def _ngrams(text: str, length: int) -> set[tuple[str, ...]]:
    words = [word.lower() for word in _WORD.findall(text)]
    return {tuple(words[i : i + length]) for i in range(len(words) - length + 1)}


def _sides(text: str) -> list[str]:
    found = [side.lower() for side in _SIDE.findall(text)]
    return ["bilateral" if side == "both sides" else side for side in found]


def _numbers(text: str) -> list[float]:
    return [float(number) for number in _NUMBER.findall(text)]


def _sizes_mm(text: str) -> list[float]:
    sizes = []
    for first, second, unit in _SIZE.findall(text):
        factor = 10.0 if unit.lower().startswith("c") else 1.0
        sizes += [float(value) * factor for value in (first, second) if value]
    return sizes


def _count_words(text: str) -> list[str]:
    return [word for word in _WORD.findall(text.lower()) if word in _COUNT_WORDS]


def _number_known(value: float, own: Evidence) -> bool:
    words = [word for word, number in _COUNT_WORDS.items() if number == value]
    return value in own.numbers or any(re.search(rf"\b{word}\b", own.text) for word in words)


def _count_known(word: str, own: Evidence) -> bool:
    if re.search(rf"\b{word}\b", own.text):
        return True
    number = _COUNT_WORDS[word]
    if number is None:
        return own.several
    return (number == 1 and own.single) or (number > 1 and float(number) in own.numbers)


def _size_known(size_mm: float, own: Evidence) -> bool:
    return any(abs(size_mm - known) <= max(1.0, _SIZE_TOLERANCE * known) for known in own.sizes_mm)


def _counts(image_numbers: list[int]) -> list[int]:
    """How many regions in all, and on each image."""
    if not image_numbers:
        return []
    return [len(image_numbers), *(image_numbers.count(n) for n in set(image_numbers))]
