"""What a run of the annotation pipeline did, in numbers."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from semihvision.annotation.draft import Draft
from semihvision.core.record import Gate, Record


@dataclass(kw_only=True)
class Summary:
    """Counts of one run, and of everything in its output.

    Attributes:
        records: Records read, all of which are written.
        by_path: Records by annotation path; ``none`` for those no rule matches.
        requested: Drafts asked of the producer in this run.
        resumed: Drafts found finished from an earlier run.
        annotated: Records that gained at least one text or question.
        parts: Texts, questions and conversations added.
        gates: Outcomes by gate, ``passed`` and ``failed``, over kept and refused parts.
        failures: Drafts that failed, by kind.
        refused: Refused items by kind, failures included.
        tokens_in: Prompt tokens of all drafts in the output.
        tokens_out: Completion tokens likewise.
        cost_usd: Their cost; None if the price of any of them is not known.
        words: Words in current texts and questions of the output, by kind of producer.
        prompt_hashes: Prompt or template of every finished draft, as the producer names it, by
            ``<path>/<source>``.
        files: Output, store and list of refused items.
    """

    records: int = 0
    by_path: Counter[str] = field(default_factory=Counter)
    requested: int = 0
    resumed: int = 0
    annotated: int = 0
    parts: Counter[str] = field(default_factory=Counter)
    gates: dict[str, Counter[str]] = field(default_factory=dict)
    failures: Counter[str] = field(default_factory=Counter)
    refused: dict[str, int] = field(default_factory=dict)
    tokens_in: int = 0
    tokens_out: int = 0
    cost_usd: float | None = 0.0
    words: Counter[str] = field(default_factory=Counter)
    prompt_hashes: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)

    def count_draft(self, draft: Draft) -> None:
        """Adds a draft's tokens, cost and failure."""
        self.tokens_in += draft.tokens_in
        self.tokens_out += draft.tokens_out
        if draft.producer == "model" and (draft.tokens_in or draft.tokens_out):
            known = self.cost_usd is not None and draft.cost_usd is not None
            self.cost_usd = (self.cost_usd or 0.0) + (draft.cost_usd or 0.0) if known else None
        if draft.failure:
            self.failures[draft.failure] += 1

    def count_gates(self, gates: Iterable[Gate]) -> None:
        """Adds gate outcomes."""
        for gate in gates:
            self.gates.setdefault(gate.name, Counter(passed=0, failed=0))[
                "passed" if gate.passed else "failed"
            ] += 1

    def count_change(self, before: Record, after: Record) -> None:
        """Adds what a record gained, and the words it holds now."""
        gained = Counter(
            texts=len(after.texts) - len(before.texts),
            qa=len(after.qa) - len(before.qa),
            conversations=len(after.conversations) - len(before.conversations),
        )
        self.parts += gained
        self.annotated += bool(gained.total())
        producers = {entry.provenance_id: entry.producer for entry in after.provenance}
        for text in after.current(after.texts):
            self.words[producers[text.provenance_id]] += len(text.text.split())
        for qa in after.current(after.qa):
            self.words[producers[qa.provenance_id]] += len(f"{qa.question} {qa.answer}".split())

    def share(self) -> dict[str, float]:
        """Share of words by kind of producer, in percent: how *semi* the annotation is."""
        total = self.words.total()
        return {name: 100.0 * count / total for name, count in self.words.most_common() if total}

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain values, for JSON."""
        plain = {
            name: dict(value) if isinstance(value, Counter) else value
            for name, value in vars(self).items()
        }
        plain["gates"] = {name: dict(counts) for name, counts in self.gates.items()}
        return {**plain, "share_percent": self.share()}
