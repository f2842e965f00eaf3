"""Multiple choice: which option an answer names, and scores of single questions and of pairs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from evaluation.conventions.convention import Answers, Scores
from evaluation.options import LETTERS, chosen_option
from evaluation.references import Reference

Choose = Callable[[str, Reference], str | None]
"""(answer, question) -> letter of the option that it names; None where it names none."""


def equal_text(answer: str, reference: Reference) -> bool:
    """Whether an answer is one of the golds, lower-cased and stripped."""
    golds = (reference.answer, *reference.alternatives)
    return answer.lower().strip() in {gold.lower().strip() for gold in golds}


@dataclass(frozen=True, kw_only=True)
class ChoiceConvention:
    """A named way of scoring multiple choice.

    Attributes:
        summary: One line for tables: what counts as right.
        choose: Finds the option an answer names.
        short: Whether an answer to a question without options is right.
        paired: Whether the questions of a group are a pair that is also scored together.
        fallback_seed: None: an answer that names no option is wrong. Otherwise it is given a random
            option, all from one stream in the order of the questions.
    """

    summary: str
    choose: Choose
    short: Callable[[str, Reference], bool] = equal_text
    paired: bool = False
    fallback_seed: int | None = None

    @property
    def split(self) -> str:
        """Nothing divides the questions."""
        return "none"

    @property
    def metrics(self) -> tuple[str, ...]:
        """``accuracy``; of pairs ``set_accuracy`` and ``confusion`` as well."""
        return ("accuracy", "set_accuracy", "confusion") if self.paired else ("accuracy",)

    def scores(self, references: Sequence[Reference], answers: Answers) -> Scores:
        """Scores all questions.

        ``accuracy`` is over all questions. ``set_accuracy`` is over all pairs: both right.
        ``confusion`` is over the pairs with two answers that name an option: both name the same.
        """
        found = Scores.of(self.metrics)
        random = None if self.fallback_seed is None else Random(self.fallback_seed)
        pairs: dict[str, list[tuple[str | None, Reference]]] = {}
        for reference in references:
            answer = answers.get(reference.id)
            if not reference.letter:
                hit = answer is not None and self.short(answer, reference)
            else:
                letter = None if answer is None else self.choose(answer, reference)
                if letter is None and answer is not None:
                    found.unparsable.append(reference.id)
                    letter = random.choice(letters_of(reference)) if random else None
                hit = letter == reference.letter
                pairs.setdefault(reference.group, []).append((letter, reference))
            found.add("accuracy", float(hit), reference.group)
        found.counts["unparsable"] = len(found.unparsable)
        if self.paired:
            _score_pairs(pairs, found)
        return found


def letters_of(reference: Reference) -> str:
    """Letters of a question's options."""
    return LETTERS[: len(reference.options)]


def _score_pairs(pairs: dict[str, list[tuple[str | None, Reference]]], found: Scores) -> None:
    for group, pair in pairs.items():
        if len(pair) != 2:
            continue
        right = all(letter == reference.letter for letter, reference in pair)
        found.add("set_accuracy", float(right), group)
        first, second = (letter for letter, _ in pair)
        if first is not None and second is not None:
            found.add("confusion", float(first == second), group)
    found.counts["pairs"] = len(found.values["set_accuracy"])
    found.counts["valid_pairs"] = len(found.values["confusion"])


def by_rule(answer: str, reference: Reference) -> str | None:
    """Our rule: a letter in front, a stated letter, or the only option whose text is there."""
    place = chosen_option(answer, reference.options)
    return None if place is None else LETTERS[place]


CHOICE = ChoiceConvention(
    summary="the option that is named by letter or text; an answer that names none is wrong",
    choose=by_rule,
)
"""Our convention. Formula: hits / n. See `evaluation.options.chosen_option`."""

CHOICE_PAIRED = ChoiceConvention(summary=CHOICE.summary, choose=by_rule, paired=True)
"""The same for pairs of questions."""
