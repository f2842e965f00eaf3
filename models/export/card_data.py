"""The card's section about data: sources with their terms, licences, and who wrote the texts."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from models.export.markdown import table
from semihvision.core.card import CARD_MODULES, card
from semihvision.core.synthetic import SYNTHETIC

_PRODUCERS = {
    "human": "people",
    "template": "templates",
    "model": "language models",
    "reviewer": "edited or accepted by a reviewer",
    "demo": "written for demo twins, by nobody",
}

_SYNTHETIC_NOTE = (
    f"**{SYNTHETIC.capitalize()}**: what is marked so are drawn phantoms and written words in the "
    "layout of that source, not its owner's data. Nothing about the source, and nothing about "
    "patients, follows from this model."
)


def data_section(stages: Sequence[Mapping[str, Any]]) -> str:
    """Sources with their terms, and who wrote the texts; tells stages that recorded nothing."""
    recorded = [stage["data"] for stage in stages if isinstance(stage.get("data"), dict)]
    parts = ["## Data"]
    if len(recorded) < len(stages) or not stages:
        parts.append(
            f"**{len(stages) - len(recorded)} of {len(stages)} stages recorded no sources**; what "
            "follows is not all that the model was trained on."
            if recorded
            else "**Sources and licences were not recorded.** Treat the weights as derived from "
            "data whose terms you do not know."
        )
    sources = _most(data.get("sources", {}) for data in recorded)
    synthetic = _most(data.get("synthetic", {}) for data in recorded)
    if sources:
        header = ("source", "records", "licence", "passing on", "commercial use", "citation")
        rows = [_source(*item, synthetic.get(item[0], 0)) for item in sources.items()]
        parts.append(table(header, rows))
    if synthetic:
        parts.append(_SYNTHETIC_NOTE)
    licences = _most(data.get("licences", {}) for data in recorded)
    if licences:
        listed = ", ".join(f"{licence} ({count:,})" for licence, count in licences.items())
        parts.append(f"Licences as the records themselves state them: {listed}.")
    producers = _most(data.get("producers", {}) for data in recorded)
    if producers:
        listed = ", ".join(f"{_PRODUCERS.get(k, k)}: {n:,}" for k, n in producers.items())
        parts.append(
            f"Who wrote the texts, questions and conversations: {listed}. What a model wrote was "
            "not checked by a person unless it is counted as reviewed."
        )
    return "\n\n".join(parts)


def _most(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """The largest count of each name: stages often read the same data again."""
    most: Counter[str] = Counter()
    for found in counts:
        most |= Counter(found)
    return dict(most.most_common())


def _source(name: str, num_records: int, num_synthetic: int) -> tuple[str, ...]:
    number = f"{num_records:,}"
    if num_synthetic:
        number += f", **{num_synthetic:,} {SYNTHETIC}**"
    if name not in CARD_MODULES:
        return (name, number, *["not known: no card"] * 3, "")
    found = card(name)
    link = f"[{found.licence}]({found.licence_url or found.url})"
    if found.share_alike:
        link += ", share alike"
    title = f"[{found.title}]({found.url})"
    rights = (found.redistribution, found.commercial_use)
    return (title, number, link, *rights, found.citation)
