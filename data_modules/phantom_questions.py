"""Questions about phantoms with four options, one of them true, for the twins."""

from typing import NamedTuple

from data_modules.phantom_anatomy import ORGANS
from data_modules.phantom_words import NUMBER_WORDS
from data_modules.phantoms import SIDES, Factors

LETTERS = "ABCD"


class Choice(NamedTuple):
    """A question, its options in order, and the place of the true one."""

    question: str
    options: tuple[str, ...]
    right: int

    @property
    def answer(self) -> str:
        """The true option."""
        return self.options[self.right]

    @property
    def letter(self) -> str:
        """Its letter."""
        return LETTERS[self.right]


def choices(factors: Factors, turn: int) -> tuple[Choice, ...]:
    """Organ, place and number as questions.

    Args:
        factors: What is drawn; at least one lesion.
        turn: Moves the true option, so that no place is right more often than another.
    """
    organ = ORGANS[factors.organ]
    others = [name for name in ORGANS if name != factors.organ][:3]
    sites = [organ.site(side) for side in SIDES]
    right = organ.site(factors.side)
    numbers = [word for word in NUMBER_WORDS if word != NUMBER_WORDS[factors.number]]
    return (
        _choice("Which organ is shown?", factors.organ, others, turn),
        _choice(
            "Where is the abnormality?",
            right,
            [*(site for site in sites if site != right), "on both sides", "outside of the organ"],
            turn + 1,
        ),
        _choice("How many lesions are there?", NUMBER_WORDS[factors.number], numbers, turn + 2),
    )


def _choice(question: str, right: str, wrong: list[str], turn: int) -> Choice:
    place = turn % len(LETTERS)
    return Choice(question, (*wrong[:place], right, *wrong[place:]), place)
