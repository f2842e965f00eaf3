"""What of a Record is indexed: its words as one text, and its labels for the audit."""

from typing import NamedTuple

from semihvision.core.lineage import sources_of
from semihvision.core.record import Label, Record
from semihvision.core.splits import strictest_split

_NOT_OF_THE_CASE = frozenset({"guideline"})
_NOT_CLINICAL = frozenset({"sex", "age", "age_band", "possibly_noisy"})
"""Labels that say nothing about the disease: among few words they would decide what is similar
(with them, 95 % of DeepLesion twins' text neighbours were of the same sex), and a neighbour's sex
and age are nobody's business in a prompt. The audit still sees them."""
_MARKED_IN_TITLE = 3

_PRESENCE_SYSTEMS = frozenset({"CheXpert", "NegBio"})
"""Systems whose label names a finding and whose value says whether it is there."""
_PRESENCE_WORDS = {"1.0": "{}.", "0.0": "No {}.", "-1.0": "Possible {}."}


Group = tuple[str, str]
"""Source and group id: two sources may give different patients the same id."""


class Item(NamedTuple):
    """One thing that can be found: a case or a passage of a guideline.

    Attributes:
        ref: Record id, or reference of the passage; unique in an index.
        kind: ``case`` or ``guideline``.
        source: Source of the record or publisher of the guideline.
        group_id: Patient, case or article; for a guideline its document.
        title: One line.
        text: The case's words or the passage; empty for a case of bare images.
        sources: Every source whose terms bind `text`: a case's own and those its generated texts
            were made with; empty only for text of this project. Whoever sends `text` to an
            endpoint has to ask the policy about all of them.
        url: Where a guideline stands; empty for a case.
        split: Split of the case: ``test`` if any of its questions is; empty where none is known.
        labels: Names and values the audit compares, e.g. ``("body_part", "thorax")``.
    """

    ref: str
    kind: str
    source: str
    group_id: str
    title: str
    text: str
    sources: tuple[str, ...]
    url: str = ""
    split: str = ""
    labels: tuple[tuple[str, str], ...] = ()


def group_of(item: Item) -> Group:
    """The item's patient, case, article or document, with its source."""
    return (item.source, item.group_id)


def case_item(record: Record) -> Item:
    """The record as an item of the index."""
    return Item(
        ref=record.record_id,
        kind="case",
        source=record.source,
        group_id=record.group_id,
        title=_title(record),
        text=case_text(record),
        sources=sources_of(record),
        split=strictest_split(record),
        labels=_labels(record),
    )


def case_text(record: Record) -> str:
    """The words of a case: modality and body part, labels, region labels, then current texts.

    Args:
        record: Texts that were superseded or rejected, quoted guidelines, and labels that are not
            clinical (sex, age, quality flags) are left out.

    Returns:
        One line a statement; empty if the record says nothing.
    """
    lines = []
    if record.modality:
        lines.append(f"Modality: {record.modality.replace('_', ' ')}.")
    if record.body_part:
        lines.append(f"Body part: {record.body_part.replace('_', ' ')}.")
    said = [label for label in record.labels if label.name not in _NOT_CLINICAL]
    lines += [_label_in_words(label) for label in said]
    lines += [f"Marked: {region.label}." for region in record.regions if region.label]
    texts = record.current(record.texts)
    lines += [text.text.strip() for text in texts if text.kind not in _NOT_OF_THE_CASE]
    return "\n".join(dict.fromkeys(lines))


def _title(record: Record) -> str:
    """Its own title, else modality, body part and what is marked, else its id."""
    titles = [text.text.strip() for text in record.current(record.texts) if text.kind == "title"]
    marked = dict.fromkeys(region.label for region in record.regions)
    about = [record.modality, record.body_part, *list(marked)[:_MARKED_IN_TITLE]]
    words = ", ".join(word.replace("_", " ") for word in about if word)
    return next(iter(titles), "") or words or record.record_id


def _label_in_words(label: Label) -> str:
    name = label.name.replace("_", " ")
    if label.system in _PRESENCE_SYSTEMS and label.value in _PRESENCE_WORDS:
        return _PRESENCE_WORDS[label.value].format(name)
    return f"{name}: {label.value}."


def _labels(record: Record) -> tuple[tuple[str, str], ...]:
    known = [("body_part", record.body_part), ("modality", record.modality)]
    pairs = [(name, value) for name, value in known if value]
    for label in record.labels:
        if label.system not in _PRESENCE_SYSTEMS:
            pairs.append((f"{label.system}/{label.name}", label.value))
        elif label.value == "1.0":
            pairs.append((f"{label.system}/finding", label.name))
    pairs += [("region", region.label) for region in record.regions if region.label]
    return tuple(dict.fromkeys(pairs))
