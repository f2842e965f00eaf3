"""μ-Bench's own rule for closed questions."""

from evaluation.conventions.choice import ChoiceConvention, letters_of
from evaluation.references import Reference


def choose(answer: str, reference: Reference) -> str | None:
    """The gold letter if the answer begins with it or holds "B) text of the right option".

    Else the letter the answer begins with, which is then wrong. Quirk, kept: an answer that begins
    with the word "A" has chosen A.
    """
    text = answer.strip()
    letters = letters_of(reference)
    right = reference.options[letters.index(reference.letter)]
    if text[:1] == reference.letter or f"{reference.letter}) {right}" in text:
        return reference.letter
    return text[0] if text and text[0] in letters else None


MUBENCH = ChoiceConvention(
    summary="begins with the gold letter, or holds the lettered gold option",
    choose=choose,
)
"""μ-Bench, closed questions. Formula: hits / n, pooled over all data sets.

Source: ``check_prediction`` of alejandro-lozano-dev/eVLLM ``eval/eval_utils.py``, as a third party
describes and implements it (olmo-eval, task micro_bench). Outer blanks are removed first.
"""
