"""Named scoring conventions; a report prints them side by side. A new one is one entry here."""

from collections.abc import Mapping

from evaluation.conventions.choice import CHOICE, CHOICE_PAIRED
from evaluation.conventions.convention import Convention, ScoringRule
from evaluation.conventions.equality import EXACT, EXACT_VQA
from evaluation.conventions.llava_med import LLAVA_MED, LLAVA_MED_GATED, LLAVA_MED_PVQA
from evaluation.conventions.medevalkit import MEDEVALKIT_RAD, MEDEVALKIT_SLAKE
from evaluation.conventions.mmmu import MMMU, MMMU_RANDOM
from evaluation.conventions.mubench import MUBENCH
from evaluation.conventions.paired_images import MEDICONFUSION
from semihvision.core.errors import InputError

__all__ = [
    "CHOICE_CONVENTIONS",
    "CONVENTIONS",
    "MEDICONFUSION_CONVENTIONS",
    "MUBENCH_CONVENTIONS",
    "PATH_VQA_CONVENTIONS",
    "SLAKE_CONVENTIONS",
    "Convention",
    "ScoringRule",
    "find_convention",
]

CONVENTIONS: dict[str, Convention] = {
    "exact": EXACT,
    "exact_vqa": EXACT_VQA,
    "llava_med": LLAVA_MED,
    "llava_med_gated": LLAVA_MED_GATED,
    "medevalkit_rad": MEDEVALKIT_RAD,
}
"""Those of VQA-RAD; of any short answers where nothing else is said."""

_SHORT = {name: CONVENTIONS[name] for name in CONVENTIONS if name != "medevalkit_rad"}

SLAKE_CONVENTIONS: Mapping[str, Convention] = {**_SHORT, "medevalkit_slake": MEDEVALKIT_SLAKE}
PATH_VQA_CONVENTIONS: Mapping[str, Convention] = {**CONVENTIONS, "llava_med_pvqa": LLAVA_MED_PVQA}
"""`medevalkit_rad` is MedEvalKit's rule for PathVQA, too."""

CHOICE_CONVENTIONS: Mapping[str, ScoringRule] = {
    "choice": CHOICE,
    "mmmu": MMMU,
    "mmmu_random": MMMU_RANDOM,
}
MEDICONFUSION_CONVENTIONS: Mapping[str, ScoringRule] = {
    "choice": CHOICE_PAIRED,
    "mediconfusion": MEDICONFUSION,
}
MUBENCH_CONVENTIONS: Mapping[str, ScoringRule] = {
    "choice": CHOICE,
    "mubench": MUBENCH,
    "mmmu": MMMU,
}


def find_convention(name: str) -> Convention:
    """The convention of that name.

    Raises:
        InputError: There is none; the message lists the known ones.
    """
    if name not in CONVENTIONS:
        raise InputError(f"unknown convention {name!r}; known: {', '.join(CONVENTIONS)}")
    return CONVENTIONS[name]
