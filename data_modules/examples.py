"""Records to examples: which parts of a record are trained on, in which words, in which split."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from semihvision.core.batch import IMAGE_PLACEHOLDER, Example, Turn
from semihvision.core.record import QA, Conversation, Record, Text, part_id, question_text

Use = Literal["captions", "qa", "conversations"]

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
            groups, so that none is on both sides) that becomes the validation split where the
            owner ships none; in [0, 1).
        seed: Which groups those are.

    Yields:
        Examples in record order; superseded and rejected parts are left out.
    """
    for record in records:
        for part in _parts(record, uses):
            owners = getattr(part, "split", "") or record.split
            split = SPLITS.get(owners, owners or "train")
            if split == "train" and _held_out(record.group_id, validation_fraction, seed):
                split = "validation"
            yield Example(
                example_id=f"{record.record_id}#{part_id(part)}",
                source=record.source,
                split=split,
                turns=_turns(part),
                images=tuple(record.image(image_id) for image_id in part.image_ids),
            )


def _parts(record: Record, uses: Sequence[Use]) -> Iterator[Text | QA | Conversation]:
    if "captions" in uses:
        for text in record.current(record.texts):
            if text.kind in CAPTION_KINDS and text.image_ids:
                yield text
    if "qa" in uses:
        yield from record.current(record.qa)
    if "conversations" in uses:
        yield from record.current(record.conversations)


def _turns(part: Text | QA | Conversation) -> tuple[Turn, ...]:
    if isinstance(part, Conversation):
        return tuple(Turn(turn.role, turn.text) for turn in part.turns)
    placeholders = (IMAGE_PLACEHOLDER + "\n") * len(part.image_ids)
    if isinstance(part, Text):
        request = CAPTION_REQUESTS[_number(part.text_id + part.text) % len(CAPTION_REQUESTS)]
        return (Turn("human", placeholders + request), Turn("gpt", part.text))
    return (Turn("human", placeholders + question_text(part)), Turn("gpt", part.answer))


def _held_out(group_id: str, fraction: float, seed: int) -> bool:
    return _number(f"{seed}/{group_id}") / 2**64 < fraction


def _number(text: str) -> int:
    """A 64-bit number that depends on the text alone (Python's hash() changes every process)."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])
