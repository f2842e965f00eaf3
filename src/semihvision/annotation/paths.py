"""Which way a record takes follows from what it has, by rule."""

from semihvision.annotation.settings import AnnotationPath, AnnotationSettings, Asset
from semihvision.core.hashing import hash_value
from semihvision.core.record import QA, Conversation, Record, Text


def human_texts(record: Record, settings: AnnotationSettings) -> list[Text]:
    """Current texts that people wrote about the images, in the record's order."""
    human = _human_provenance(record)
    return [
        text
        for text in record.current(record.texts)
        if text.provenance_id in human and text.kind in settings.human_text_kinds
    ]


def assets(record: Record, settings: AnnotationSettings) -> set[Asset]:
    """What a record has that a path could start from."""
    found: set[Asset] = set()
    if human_texts(record, settings):
        found.add("human_text")
    if record.regions:
        found.add("region")
    background = {name.lower() for name in settings.background_labels}
    if any(label.name.lower() not in background for label in record.labels):
        found.add("label")
    if record.images:
        found.add("image")
    return found


def choose_path(record: Record, settings: AnnotationSettings) -> AnnotationPath | None:
    """The path of the first rule that matches; None if the record has nothing to start from."""
    found = assets(record, settings)
    for rule in settings.rules:
        if found & set(rule.any_of):
            return rule.path
    return None


def owner_hash(record: Record) -> str:
    """SHA-256 of what the owner shipped, without anything that was generated later.

    So a record has the same hash before and after its annotation.
    """
    human = _human_provenance(record)
    owned = record.model_dump(mode="json", exclude={"texts", "qa", "conversations", "provenance"})
    parts: tuple[Text | QA | Conversation, ...] = record.texts + record.qa + record.conversations
    owned["parts"] = [part.model_dump(mode="json") for part in parts if part.provenance_id in human]
    return hash_value(owned)


def _human_provenance(record: Record) -> set[str]:
    return {p.provenance_id for p in record.provenance if p.producer in ("human", "reviewer")}
