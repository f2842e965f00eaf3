"""What a scoring convention is: which questions are closed, and how each half is scored."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from evaluation.references import Reference

Scorer = Callable[[str, str], float]
"""(prediction, gold) -> score from 0 to 1. Both are raw texts; the scorer normalises them."""

Split = Literal["answer_type", "yes_no_gold"]
"""Closed is what the owner calls CLOSED, or what has the gold answer yes or no."""


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
        scores = {
            f"{half}_{name}": 0.0 if answer is None else scorer(answer, reference.answer)
            for name, scorer in scorers.items()
        }
        if "overall_accuracy" in self.metrics:
            scores["overall_accuracy"] = scores[f"{half}_accuracy"]
        return scores
