"""Counting records: what is in a file, and how much of its test part also occurs in training."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from semihvision.core.digest_set import DigestSet
from semihvision.core.record import QA, Conversation, Record, Text
from semihvision.core.synthetic import SYNTHETIC

TRAIN, TEST = "train", "test"


@dataclass
class RecordCounts:
    """Counts over records, added one at a time.

    Splits are the owner's, by question where there is one, else by record. `groups_asked`: the
    groups (images, patients, articles) with questions in a split.
    """

    records: int = 0
    records_without_images: int = 0
    images: int = 0
    regions: int = 0
    by: dict[str, Counter[str]] = field(default_factory=dict)
    questions: Counter[tuple[str, str]] = field(default_factory=Counter)
    groups: DigestSet = field(default_factory=DigestSet)
    groups_asked: dict[str, DigestSet] = field(default_factory=dict)
    _images_of: dict[str, DigestSet] = field(default_factory=dict)

    def add(self, record: Record) -> None:
        """Counts one record."""
        self.records += 1
        self.records_without_images += not record.images
        self.images += len(record.images)
        self.regions += len(record.regions)
        group = f"{record.source}/{record.group_id}"
        self.groups.add(group)
        for name, values in _features(record):
            self.by.setdefault(name, Counter()).update(value or "not stated" for value in values)
        for question in record.current(record.qa):
            split = question.split or record.split
            self.questions[split or "not stated", question.answer_type or "not stated"] += 1
            self.groups_asked.setdefault(split or "not stated", DigestSet()).add(group)
            self._place(record, split, question.image_ids)
        self._place(record, record.split, [image.image_id for image in record.images])

    def _place(self, record: Record, split: str, image_ids: Iterable[str]) -> None:
        for image_id in image_ids:
            image = record.image(image_id)
            key = image.sha256 or f"{record.source}/{image.path}"
            self._images_of.setdefault(split, DigestSet()).add(key)

    def overlap(self) -> dict[str, int]:
        """How many different test images there are, and how many also occur in training."""
        nothing = DigestSet()
        test, train = (self._images_of.get(split, nothing) for split in (TEST, TRAIN))
        return {"test_images": len(test), "test_images_also_in_training": test.common(train)}

    def document(self) -> dict[str, Any]:
        """Everything as plain values for JSON."""
        questions: dict[str, dict[str, int]] = {}
        for (split, kind), number in sorted(self.questions.items()):
            questions.setdefault(split, {})[kind] = number
        return {
            "records": self.records,
            "records_without_images": self.records_without_images,
            "groups": len(self.groups),
            "images": self.images,
            "regions": self.regions,
            "questions": {"total": sum(self.questions.values()), "by_split": questions},
            "groups_by_split": {
                split: len(groups) for split, groups in sorted(self.groups_asked.items())
            },
            **{f"by_{name}": dict(found.most_common()) for name, found in self.by.items()},
            **self.overlap(),
        }


def has(record: Record) -> str:
    """What a record has to be annotated from: human text, else regions or labels, else images."""
    human = {p.provenance_id for p in record.provenance if p.producer in ("human", "reviewer")}
    if any(text.provenance_id in human for text in record.texts):
        return "human text"
    if record.regions or record.labels:
        return "regions or labels"
    return "images only" if record.images else "nothing"


def _features(record: Record) -> Iterator[tuple[str, list[str]]]:
    yield "source", [record.source]
    yield "split", [record.split]
    yield "modality", [record.modality]
    yield "body_part", [record.body_part]
    yield "licence", [record.licence.name]
    yield "has", [has(record)]
    yield "origin", [SYNTHETIC if record.is_synthetic else "not marked as synthetic"]
    yield "text_kind", [text.kind for text in record.current(record.texts)]
    yield "label", [f"{label.system} {label.name}" for label in record.labels]
    producers = record.producers()
    parts: tuple[Text | QA | Conversation, ...] = record.texts + record.qa + record.conversations
    yield "producer", [producers[part.provenance_id] for part in parts]
