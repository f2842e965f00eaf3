"""True sentences about phantoms, for the reports and cases of the twins."""

from data_modules.phantom_anatomy import ORGANS
from data_modules.phantoms import SIDES, Factors

NUMBER_WORDS = ("no", "one", "two", "three")

MODALITY_WORDS = {"mr": "MRI", "ct": "CT", "xray": "Radiograph"}


def lesions(factors: Factors, noun: str = "lesion") -> str:
    """What is drawn, e.g. ``two large lesions in the right lung``."""
    if factors.number == 0:
        return f"no {noun} in the {factors.organ}"
    plural = "s" if factors.number > 1 else ""
    site = ORGANS[factors.organ].site(factors.side)
    return f"{NUMBER_WORDS[factors.number]} {factors.size} {noun}{plural} in the {site}"


def other_side(factors: Factors, noun: str = "lesion") -> str:
    """What is not drawn on the other side, e.g. ``no lesion in the left lung``."""
    other = SIDES[1 - SIDES.index(factors.side)]
    return f"no {noun} in the {ORGANS[factors.organ].site(other)}"


def sentence(words: str) -> str:
    """The words with a capital and a full stop."""
    return words[0].upper() + words[1:] + "."
