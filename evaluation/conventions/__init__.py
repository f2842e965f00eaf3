"""Named scoring conventions; a report prints them side by side. A new one is one entry here."""

from evaluation.conventions.convention import Convention
from evaluation.conventions.equality import EXACT, EXACT_VQA
from evaluation.conventions.llava_med import LLAVA_MED, LLAVA_MED_GATED
from evaluation.conventions.medevalkit import MEDEVALKIT_RAD
from semihvision.core.errors import InputError

__all__ = ["CONVENTIONS", "Convention", "find_convention"]

CONVENTIONS: dict[str, Convention] = {
    "exact": EXACT,
    "exact_vqa": EXACT_VQA,
    "llava_med": LLAVA_MED,
    "llava_med_gated": LLAVA_MED_GATED,
    "medevalkit_rad": MEDEVALKIT_RAD,
}


def find_convention(name: str) -> Convention:
    """The convention of that name.

    Raises:
        InputError: There is none; the message lists the known ones.
    """
    if name not in CONVENTIONS:
        raise InputError(f"unknown convention {name!r}; known: {', '.join(CONVENTIONS)}")
    return CONVENTIONS[name]
