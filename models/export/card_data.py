"""The card's section about data: sources with their terms, licences, and who wrote the texts."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from models.export.markdown import link, table
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

_OLD_COUNTS_NOTE = (
    "Some stages counted a record for every source that was its context, too: not every record "
    "above need be its source's own."
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
    rows = _rows(recorded)
    if rows:
        header = ("source", "records", "licence", "passing on", "commercial use", "citation")
        parts.append(table(header, rows))
    if any("context" not in data for data in recorded):
        parts.append(_OLD_COUNTS_NOTE)
    if any(data.get("synthetic") for data in recorded):
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


def _rows(recorded: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """A row for every source, the one with most records first."""
    synthetic = _most(data.get("synthetic", {}) for data in recorded)
    others = _most(_without(data, "sources", "synthetic") for data in recorded)
    own = Counter(others) + Counter(synthetic)
    context = _most(data.get("context", {}) for data in recorded)
    names = [*dict(own.most_common()), *(name for name in context if name not in own)]
    rows = []
    for name in names:
        said = [_own(own[name], synthetic.get(name, 0))]
        if context.get(name):
            said.append(f"context of {context[name]:,} others{_items(recorded, name)}")
        used = _most(data.get("with_synthetic_context", {}) for data in recorded).get(name)
        if used:
            said.append(f"**made with {used:,} {SYNTHETIC} cases as context**")
        rows.append(_terms(name, "; ".join(said)))
    return rows


def _without(data: Mapping[str, Any], names: str, gone: str) -> Counter[str]:
    """What is left of one count without another; nothing where none is left."""
    return Counter(data.get(names, {})) - Counter(data.get(gone, {}))


def _own(number: int, num_synthetic: int) -> str:
    if not num_synthetic:
        return f"{number:,}" if number else "none"
    how_many = "all" if num_synthetic == number else f"{num_synthetic:,}"
    return f"{number:,}, **{how_many} {SYNTHETIC}**"


def _items(recorded: Sequence[Mapping[str, Any]], name: str) -> str:
    """How much of what was context is known to be synthetic; empty if nothing is."""
    synthetic = _most(data.get("synthetic_context_items", {}) for data in recorded).get(name, 0)
    known = [_without(data, "context_items", "synthetic_context_items") for data in recorded]
    total = _most(known).get(name, 0) + synthetic
    if not synthetic:
        return ""
    if synthetic == total:
        return f" (by {total:,} cases, all synthetic)"
    return f" (by {total:,} cases, {synthetic:,} known to be synthetic)"


def _terms(name: str, number: str) -> tuple[str, ...]:
    if name not in CARD_MODULES:
        return (name, number, *["not known: no card"] * 3, "")
    found = card(name)
    licence = link(found.licence, found.licence_url or found.url)
    if found.share_alike:
        licence += ", share alike"
    rights = (found.redistribution, found.commercial_use)
    citation = "" if found.citation == "None" else found.citation
    return (link(found.title, found.url), number, licence, *rights, citation)
