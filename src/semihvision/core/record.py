"""The one Record: a study, case, figure or question set, from the owner's files to the mix.

Every part has an id that is unique among its kind inside the record and stable across runs, since
review, scoring and provenance join by ids, never by position. Nothing is overwritten: an edited
text, question or conversation is a new part that names the one it `supersedes`, and a decision is
a new `Provenance` entry. `Record.current` is the view after all edits and rejections.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final, TypeVar

from pydantic import ValidationError, model_validator

from semihvision.core.origins import Gate, Licence, Provenance, Retrieved
from semihvision.core.parts import (
    BODY_PARTS,
    MODALITIES,
    QA,
    TEXT_KINDS,
    Attribute,
    Box,
    Conversation,
    ConversationTurn,
    Id,
    ImageRef,
    Label,
    Part,
    Region,
    Text,
    part_id,
    question_text,
)

__all__ = [
    "BODY_PARTS",
    "DEMO_PRODUCER",
    "MODALITIES",
    "QA",
    "SCHEMA_VERSION",
    "TEXT_KINDS",
    "Attribute",
    "Box",
    "Conversation",
    "ConversationTurn",
    "Gate",
    "Id",
    "ImageRef",
    "Label",
    "Licence",
    "Part",
    "Provenance",
    "Record",
    "Region",
    "Retrieved",
    "Text",
    "invalid_reason",
    "part_id",
    "question_text",
]

SCHEMA_VERSION = 1

DEMO_PRODUCER: Final = "demo"
"""Producer of what `semihvision demo-data` has drawn and written."""

_P = TypeVar("_P", Text, QA, Conversation)


class Record(Part):
    """One study, case, figure or question set (see the module's docstring).

    Attributes:
        record_id: ``<source>/<owner's id>``.
        source: Source name, as in the table of cards.
        split: The owner's split of the whole record; empty where the owner has none.
        group_id: Patient, case or article; own splits and clustered statistics never cut it.
        modality: One of `MODALITIES`, or empty where unknown.
        body_part: One of `BODY_PARTS`, or empty where unknown.
    """

    record_id: Id
    source: Id
    split: str = ""
    group_id: Id
    images: tuple[ImageRef, ...] = ()
    regions: tuple[Region, ...] = ()
    labels: tuple[Label, ...] = ()
    modality: str = ""
    body_part: str = ""
    texts: tuple[Text, ...] = ()
    qa: tuple[QA, ...] = ()
    conversations: tuple[Conversation, ...] = ()
    provenance: tuple[Provenance, ...] = ()
    licence: Licence

    @model_validator(mode="after")
    def _check(self) -> "Record":
        if not self.record_id.startswith(self.source + "/"):
            raise ValueError("record_id: expected '<source>/<owner id>'")
        for name, value, known in (
            ("modality", self.modality, MODALITIES),
            ("body_part", self.body_part, BODY_PARTS),
        ):
            if value and value not in known:
                raise ValueError(f"{name}: expected empty or one of {', '.join(known)}")
        self._check_ids()
        self._check_conversation_images()
        return self

    def _check_ids(self) -> None:
        images = _unique("image_id", (image.image_id for image in self.images))
        regions = _unique("region_id", (region.region_id for region in self.regions))
        origins = _unique("provenance_id", (p.provenance_id for p in self.provenance))
        _unique("label_id", (label.label_id for label in self.labels))
        _known("image_id", (region.image_id for region in self.regions), images)
        for label in self.labels:
            _known("image_id", label.image_ids, images)
            _known("region_id", label.region_ids, regions)
        authored: tuple[Text | QA | Conversation, ...] = self.texts + self.qa + self.conversations
        known_parts = _unique("part id", (part_id(part) for part in authored))
        for part in authored:
            _known("image_id", part.image_ids, images)
            _known("provenance_id", (part.provenance_id,), origins)
        _known("supersedes", (part.supersedes for part in authored if part.supersedes), known_parts)
        _known("parent_id", (p.parent_id for p in self.provenance if p.parent_id), origins)
        _known("subject_id", (p.subject_id for p in self.provenance if p.subject_id), known_parts)

    def _check_conversation_images(self) -> None:
        for conversation in self.conversations:
            found = sum(turn.text.count("<image>") for turn in conversation.turns)
            if found != len(conversation.image_ids):
                raise ValueError(
                    f"conversation {conversation.conversation_id!r} has {found} <image> "
                    f"placeholders for {len(conversation.image_ids)} images"
                )

    @property
    def is_synthetic(self) -> bool:
        """Whether it is known to come from a demo twin: images and texts, nobody's."""
        return any(origin.producer == DEMO_PRODUCER for origin in self.provenance)

    def producers(self) -> dict[str, str]:
        """Who made what: provenance id -> producer. No person wrote the texts of a demo twin."""
        people = DEMO_PRODUCER if self.is_synthetic else "human"
        known = {origin.provenance_id: origin.producer for origin in self.provenance}
        return {name: people if who == "human" else who for name, who in known.items()}

    def image(self, image_id: str) -> ImageRef:
        """The image of that id; KeyError if the record has none."""
        for image in self.images:
            if image.image_id == image_id:
                return image
        raise KeyError(image_id)

    def current(self, parts: Sequence[_P]) -> list[_P]:
        """Those of `parts` that no other part supersedes and whose last decision is no rejection.

        Args:
            parts: The record's `texts`, `qa` or `conversations`.
        """
        gone = {part.supersedes for part in parts if part.supersedes}
        decisions = {p.subject_id: p.decision for p in self.provenance if p.subject_id}
        gone |= {subject for subject, decision in decisions.items() if decision == "rejected"}
        return [part for part in parts if part_id(part) not in gone]

    def edited(self, **changes: Any) -> "Record":
        """A validated copy with some fields replaced (pydantic's own copy does not validate)."""
        return Record.model_validate({**dict(self), **changes})


def invalid_reason(error: ValidationError) -> str:
    """Why a record did not validate, in one line that names fields and ids but never content.

    A key that is not known is content: in a damaged file it may be anything.
    """
    reasons = []
    for item in error.errors(include_input=False, include_url=False):
        place, what = item["loc"], item["type"]
        if what == "extra_forbidden":
            place, what = place[:-1], "a key that is not known"
        elif what == "value_error":
            what = item["msg"]
        where = ".".join(str(step) for step in place)
        reasons.append(f"{where}: {what}" if where else what)
    return "; ".join(reasons)


def _unique(name: str, values: Iterable[str]) -> set[str]:
    counts = Counter(values)
    repeated = sorted(value for value, count in counts.items() if count > 1)
    if repeated:
        raise ValueError(f"repeated {name}: {', '.join(repeated)}")
    return set(counts)


def _known(name: str, values: Iterable[str], known: set[str]) -> None:
    missing = sorted(set(values) - known)
    if missing:
        raise ValueError(f"{name} {', '.join(missing)} is not in the record")
