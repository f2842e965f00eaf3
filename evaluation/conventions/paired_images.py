"""MediConfusion's own rule: one question about two images with different right answers."""

from evaluation.conventions.choice import ChoiceConvention, letters_of
from evaluation.references import Reference

_FORMS = ("{}", "{}:", ".{}", ".{}:", "{}.", '{}")', "{}\n", "\n{}")


def choose(answer: str, reference: Reference) -> str | None:
    """The letter that stands as a word of its own, between single blanks.

    Quirks, kept: "(A)", "A)" and "A," are not seen; an answer with both letters names none, even if
    one is the article.
    """
    words = answer.split(" ")
    named = [
        letter
        for letter in letters_of(reference)
        if any(form.format(letter) in words for form in _FORMS)
    ]
    return named[0] if len(named) == 1 else None


MEDICONFUSION = ChoiceConvention(
    summary="the only letter that stands alone; set: both images right; confusion: same letter",
    choose=choose,
    paired=True,
)
"""MediConfusion's multiple-choice mode. Formulas: ``set_accuracy`` = pairs with both images right /
pairs; ``accuracy`` = right images / images; ``confusion`` = pairs with the same letter twice /
pairs with two letters. Guessing gives 25, 50, 50.

Source: MShahabSepehri/MediConfusion@a97dd97 ``utils/answering.py`` (``clean_up_manual``,
``get_score``, ``print_score``). Its free-form mode needs a language model and is left out.
"""
