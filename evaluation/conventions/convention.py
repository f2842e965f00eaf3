"""What a scoring convention is: which questions are closed, and how each half is scored."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from evaluation.references import Reference

Answers = Mapping[str, str | None]
"""Answer by question id; None where it is missing."""

Scorer = Callable[[str, str], float | None]
"""(prediction, gold) -> score from 0 to 1, or None where the question is left out of the mean. Both
are raw texts; the scorer normalises them."""

Split = Literal["answer_type", "yes_no_gold"]
"""Closed is what the owner calls CLOSED, or what has the gold answer yes or no."""


@dataclass
class Scores:
    """Scores of single questions, or of pairs of them.

    Attributes:
        values: Metric -> scores from 0 to 1.
        groups: Metric -> what each of these scores is clustered on.
        counts: Name -> number, e.g. ``n_closed`` or ``unparsable``.
        unparsable: Ids of questions whose answer names no option; they count as wrong.
    """

    values: dict[str, list[float]]
    groups: dict[str, list[str]]
    counts: dict[str, int] = field(default_factory=dict)
    unparsable: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, metrics: Sequence[str]) -> "Scores":
        """No score yet."""
        return cls({metric: [] for metric in metrics}, {metric: [] for metric in metrics})

    def add(self, metric: str, value: float, group: str) -> None:
        """Adds one score."""
        self.values[metric].append(value)
        self.groups[metric].append(group)


class ScoringRule(Protocol):
    """What `evaluation.scoring` needs of a convention."""

    @property
    def summary(self) -> str:
        """One line for tables: what counts as right."""
        ...

    @property
    def split(self) -> str:
        """What divides the questions."""
        ...

    def scores(self, references: Sequence[Reference], answers: Answers) -> Scores:
        """Scores all questions; a missing answer scores 0."""
        ...


@dataclass(frozen=True, kw_only=True)
class Convention:
    """A named way of scoring VQA answers.

    Attributes:
        summary: One line for tables: what counts as right.
        split: What divides the questions into closed and open.
        closed: Metric name -> scorer of closed questions.
        open: Metric name -> scorer of open questions. Where both halves have an ``accuracy``,
            ``overall_accuracy`` is the mean over all questions.
    """

    summary: str
    split: Split
    closed: Mapping[str, Scorer]
    open: Mapping[str, Scorer]

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of all metrics, e.g. ``closed_accuracy``, ``open_recall``, ``overall_accuracy``."""
        names = [f"closed_{name}" for name in self.closed]
        names += [f"open_{name}" for name in self.open]
        if "accuracy" in self.closed and "accuracy" in self.open:
            names.append("overall_accuracy")
        return tuple(names)

    def is_closed(self, reference: Reference) -> bool:
        """Whether this convention counts the question as closed."""
        if self.split == "answer_type":
            return reference.answer_type == "CLOSED"
        return reference.answer.lower().strip() in {"yes", "no"}

    def score(self, reference: Reference, answer: str | None) -> dict[str, float]:
        """Scores one answer.

        Args:
            reference: The question and its gold answer.
            answer: The predicted answer; None where it is missing, which scores 0 everywhere.

        Returns:
            The metrics this question counts for, each from 0 to 1.
        """
        half, scorers = (
            ("closed", self.closed) if self.is_closed(reference) else ("open", self.open)
        )
        found = {
            f"{half}_{name}": 0.0 if answer is None else scorer(answer, reference.answer)
            for name, scorer in scorers.items()
        }
        scores = {name: value for name, value in found.items() if value is not None}
        if "overall_accuracy" in self.metrics:
            scores["overall_accuracy"] = scores[f"{half}_accuracy"]
        return scores

    def scores(self, references: Sequence[Reference], answers: Answers) -> Scores:
        """Scores all questions; counts ``n_closed`` and ``n_open``."""
        found = Scores.of(self.metrics)
        for reference in references:
            for metric, value in self.score(reference, answers.get(reference.id)).items():
                found.add(metric, value, reference.group)
        closed = sum(map(self.is_closed, references))
        found.counts = {"n_closed": closed, "n_open": len(references) - closed}
        return found
