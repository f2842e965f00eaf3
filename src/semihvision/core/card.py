"""The card of a source: who owns it, what it may be used for, how to get it.

A card holds facts from the owner's terms; `semihvision.core.policy` draws the conclusions. Each
card stands in its source's own file in `data_modules/`; this file only knows where to look.
"""

from dataclasses import dataclass
from datetime import date
from importlib import import_module
from typing import Literal

from semihvision.core.components import Component
from semihvision.core.errors import InputError
from semihvision.core.near_names import did_you_mean

Flag = Literal["yes", "no", "conditional", "not stated"]

CARD_MODULES: dict[str, str] = {
    "deeplesion": "data_modules.deeplesion",
    "padchest": "data_modules.padchest",
    "eurorad": "data_modules.eurorad",
    "mimic_cxr": "data_modules.mimic_cxr",
    "lld_mmri": "data_modules.lld_mmri",
    "mama_mia": "data_modules.mama_mia",
    "pmc_vqa": "data_modules.pmc_vqa",
    "pmc_instruct": "data_modules.pmc_instruct",
    "quilt_1m": "data_modules.quilt_1m",
    "radiopaedia": "data_modules.radiopaedia",
    "jama": "data_modules.jama",
    "llava_med": "data_modules.llava_med",
    "pubmedvision": "data_modules.pubmedvision",
    "folder": "data_modules.folder",
    "vqa_rad": "data_modules.vqa_rad",
    "slake": "data_modules.slake",
    "path_vqa": "data_modules.path_vqa",
    "omnimedvqa": "evaluation.benchmarks.omnimedvqa",
    "mmmu_med": "evaluation.benchmarks.mmmu_med",
    "worldmedqa_v": "evaluation.benchmarks.worldmedqa_v",
    "mediconfusion": "evaluation.benchmarks.mediconfusion",
    "mubench": "evaluation.benchmarks.mubench",
    "open_guidelines": "data_modules.open_guidelines",
}
"""Source name to the module whose `CARD` describes it."""


@dataclass(frozen=True, kw_only=True)
class Card:
    """Terms and access of one source.

    Attributes:
        name: Source name, as used in commands and in `Record.source`.
        title: Name in the owner's words.
        owner: Who owns or publishes it.
        url: Where it is described and asked for.
        licence: Licence or agreement; SPDX id where there is one.
        licence_url: Its text.
        access: How to get it, in one sentence.
        citation: What to cite.
        owners_caption_flag: The SemiHVision authors' "Caption Available" flag (paper.md 1.2);
            None for sources outside their table.
        human_text: Whether people wrote about its images, which decides its annotation path.
        api_conditions: Conditions under which data or derivatives may go to a third-party API.
            The user must state every one of them for the very endpoint; empty means that the
            user's consent alone is enough.
        api_clause: The clause the conditions come from, in our words.
        redistribution: Whether data or derivatives may be passed on.
        commercial_use: Whether they may be used commercially.
        exports_text: False where no export writes its texts or what was made from them, not even
            for the user's own use; they stay in the Records.
        share_alike: Whether derivatives inherit the licence.
        earliest_date: Items published before it are refused unless permitted one by one.
        components: What it consists of on disk, for `semihvision doctor`.
        notes: What is inferred or not known about these terms.
    """

    name: str
    title: str
    owner: str
    url: str
    licence: str
    licence_url: str = ""
    access: str
    citation: str
    owners_caption_flag: bool | None = None
    human_text: bool
    api_conditions: tuple[str, ...] = ()
    api_clause: str = ""
    redistribution: Flag
    commercial_use: Flag
    exports_text: bool = True
    share_alike: bool = False
    earliest_date: date | None = None
    components: tuple[Component, ...] = ()
    notes: str = ""


def card(name: str) -> Card:
    """The card of a source.

    Raises:
        InputError: No source has that name; the nearest is named, the known ones are listed.
    """
    if name not in CARD_MODULES:
        near = did_you_mean(name, CARD_MODULES)
        known = ", ".join(sorted(CARD_MODULES))
        raise InputError(f"unknown source {name!r}{near or ';'} known: {known}")
    found = import_module(CARD_MODULES[name]).CARD
    assert isinstance(found, Card)
    assert found.name == name
    return found
