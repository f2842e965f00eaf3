"""Records to examples: which parts of a record are trained on, in which words, in which split."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from semihvision.core.batch import IMAGE_PLACEHOLDER, Example, Turn
from semihvision.core.errors import InputError
from semihvision.core.lineage import sources_of
from semihvision.core.record import QA, Conversation, Record, Text, part_id, question_text
from semihvision.core.splits import strictest_split

Use = Literal["captions", "qa", "dialogues", "conversations"]
"""``dialogues``: all questions about the same images as turns of one sample, LLaVA's form, which
reads an image once for many questions; ``qa``: every question as a sample of its own."""

SPLITS = {
    "train": "train",
    "validation": "validation",
    "validate": "validation",
    "val": "validation",
    "test": "test",
}
"""Owners' names of splits -> ours."""

CAPTION_KINDS = ("caption", "report", "findings", "impression")
"""Text kinds that describe an image and so can answer a request for a description."""

CAPTION_REQUESTS = (
    "Describe this image.",
    "What does this image show?",
    "Write a short report of this image.",
    "Summarise the findings in this image.",
)


DIALOGUE_QUESTIONS = 8
"""Most questions of one dialogue, so that samples stay short; our choice."""

Part = Text | QA | Conversation


def examples_of(
    records: Iterable[Record],
    *,
    uses: Sequence[Use],
    validation_fraction: float = 0.0,
    seed: int = 0,
) -> Iterator[Example]:
    """Turns records into examples.

    Args:
        records: Records of any sources.
        uses: Which parts become examples.
        validation_fraction: Share of the training *groups* (patients, cases, articles; whole
            groups, so that none is on both sides) that is held out for validation, beside any
            validation split of the owner; in [0, 1).
        seed: Which groups those are.

    Yields:
        Examples in record order; superseded and rejected parts are left out.

    Raises:
        InputError: A record names a split that is not known.
    """
    for record in records:
        for parts in _parts(record, uses):
            images = _images(record, parts[0])
            split = _split(record, parts[0])
            if split == "train" and _held_out(record.group_id, validation_fraction, seed):
                split = "validation"
            yield Example(
                example_id=f"{record.record_id}#{part_id(parts[0])}",
                source=record.source,
                split=split,
                turns=_turns(parts, len(images)),
                images=tuple(record.image(image_id) for image_id in images),
                modality=record.modality,
                derived_from=sources_of(record),
            )


def _images(record: Record, part: Part) -> tuple[str, ...]:
    """Images of a part; a text that names none is about all images of its record."""
    if isinstance(part, Text) and not part.image_ids:
        return tuple(image.image_id for image in record.images)
    return part.image_ids


def _split(record: Record, part: Part) -> str:
    """The owner's split of a part; a text goes with the strictest split of its record's questions.

    So a caption of an image that the owner tests on is never trained on.

    Raises:
        InputError: A split name that is not known, which no loader would ever ask for.
    """
    owners = strictest_split(record) if isinstance(part, Text) else part.split or record.split
    owners = owners or "train"
    if owners not in SPLITS:
        raise InputError(
            f"record {record.record_id!r}: split {owners!r}; expected one of {', '.join(SPLITS)}"
        )
    return SPLITS[owners]


def _parts(record: Record, uses: Sequence[Use]) -> Iterator[Sequence[Part]]:
    """What makes one example each: a single part, or the questions of a dialogue."""
    if "captions" in uses:
        for text in record.current(record.texts):
            if text.kind in CAPTION_KINDS and _images(record, text):
                yield [text]
    if "qa" in uses:
        yield from ([question] for question in _answered(record))
    if "dialogues" in uses:
        yield from _dialogues(record)
    if "conversations" in uses:
        yield from ([conversation] for conversation in record.current(record.conversations))


def _dialogues(record: Record) -> Iterator[list[QA]]:
    """Questions of one split about the same images, at most `DIALOGUE_QUESTIONS` together.

    Their order depends on the questions alone and differs from record to record, so that every
    kind of question comes first somewhere, as it does when a model is asked a single one.
    """
    together: dict[tuple[tuple[str, ...], str], list[QA]] = {}
    for question in _answered(record):
        together.setdefault((question.image_ids, question.split), []).append(question)
    for questions in together.values():
        mixed = sorted(questions, key=lambda q: _number(f"{record.record_id}#{q.qa_id}"))
        for start in range(0, len(mixed), DIALOGUE_QUESTIONS):
            yield mixed[start : start + DIALOGUE_QUESTIONS]


def _answered(record: Record) -> list[QA]:
    """Current questions; without those that the owner left without an answer."""
    return [question for question in record.current(record.qa) if question.answer]


def _turns(parts: Sequence[Part], num_images: int) -> tuple[Turn, ...]:
    first = parts[0]
    if isinstance(first, Conversation):
        return tuple(Turn(turn.role, turn.text) for turn in first.turns)
    placeholders = (IMAGE_PLACEHOLDER + "\n") * num_images
    if isinstance(first, Text):
        request = CAPTION_REQUESTS[_number(first.text_id + first.text) % len(CAPTION_REQUESTS)]
        return (Turn("human", placeholders + request), Turn("gpt", first.text))
    pairs = [(question_text(qa), qa.answer) for qa in parts if isinstance(qa, QA)]
    turns = [turn for asked, told in pairs for turn in (Turn("human", asked), Turn("gpt", told))]
    return (Turn("human", placeholders + turns[0].text), *turns[1:])


def _held_out(group_id: str, fraction: float, seed: int) -> bool:
    return _number(f"{seed}/{group_id}") / 2**64 < fraction


def _number(text: str) -> int:
    """A 64-bit number that depends on the text alone (Python's hash() changes every process)."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])
