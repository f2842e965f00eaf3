"""Which split a whole record belongs to, where its owner splits by question.

A question of the test split is about an image, so nothing made from that image may be trained on.
"""

from semihvision.core.record import QA, Conversation, Record

TEST = "test"


def is_test(split: str) -> bool:
    """Whether an owner's name of a split, in any spelling of case, is the test split."""
    return split.strip().lower() == TEST


def strictest_split(record: Record) -> str:
    """The split of anything made from the whole record.

    Returns:
        ``test`` if the record or any of its questions or conversations is; else a split that is
        not for training, in the owner's spelling, if one is named; else the record's own.
    """
    parts: tuple[QA | Conversation, ...] = record.qa + record.conversations
    named = {part.split for part in parts} | {record.split}
    if any(is_test(name) for name in named):
        return TEST
    return min(named - {"", "train"}, default=record.split)
