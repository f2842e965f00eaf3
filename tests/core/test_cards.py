import subprocess
import sys
from datetime import date
from importlib import import_module

import pytest

from semihvision.core.card import CARD_MODULES, card
from semihvision.core.errors import InputError
from semihvision.core.policy import CONDITIONS

CAPTION_FLAGS = {
    "deeplesion": True, "padchest": True, "eurorad": True, "mimic_cxr": False, "lld_mmri": True,
    "mama_mia": True, "pmc_vqa": True, "pmc_instruct": True, "quilt_1m": True,
    "radiopaedia": False, "jama": False, "llava_med": True,
}  # fmt: skip
"""The owners' "Caption Available" column (paper.md 1.2)."""


@pytest.mark.parametrize("name", CARD_MODULES)
def test_a_card_is_complete(name: str) -> None:
    one = card(name)

    for field in ("title", "owner", "licence", "access", "citation", "api_clause"):
        assert getattr(one, field), field
    assert one.url.startswith("https://") or name == "folder"
    assert set(one.api_conditions) <= set(CONDITIONS)


@pytest.mark.parametrize("name", CARD_MODULES)
def test_a_source_file_opens_with_what_one_must_know(name: str) -> None:
    text = import_module(CARD_MODULES[name]).__doc__ or ""

    found = [
        text.find(f"\n{word}")
        for word in (
            "Owner",
            "URL",
            "Licence",
            "Access",
            "Citation",
            "Expected tree",
            "Split policy",
            "Known",
        )
    ]
    assert min(found) > 0, text
    assert found == sorted(found)


def test_the_owners_caption_flags() -> None:
    flags = {name: card(name).owners_caption_flag for name in CARD_MODULES}

    assert {name: flag for name, flag in flags.items() if flag is not None} == CAPTION_FLAGS


def test_what_the_owners_terms_demand() -> None:
    assert card("mimic_cxr").api_conditions == ("zero_retention", "no_training", "no_human_review")
    assert card("eurorad").earliest_date == date(2015, 7, 6)
    assert card("jama").redistribution == "no"
    assert card("quilt_1m").redistribution == "no"
    assert {n for n in CARD_MODULES if card(n).share_alike} == {"mama_mia", "pmc_vqa", "mubench"}
    for name in ("mama_mia", "llava_med"):
        assert card(name).commercial_use == "no"


def test_an_unknown_source_names_the_nearest_and_lists_the_known_ones() -> None:
    said = r"unknown source 'deeplesions'; did you mean deeplesion\? known: deeplesion, eurorad"
    with pytest.raises(InputError, match=said):
        card("deeplesions")


def test_cards_are_shown_without_heavy_libraries() -> None:
    code = (
        "import sys; from semihvision.cli.main import main; light = 'pydantic' not in sys.modules; "
        "main(['sources', '--json']); heavy = {'numpy', 'pyarrow', 'torch', 'mlflow'}; "
        "sys.exit(' '.join(heavy & set(sys.modules)) or (0 if light else 'help needs pydantic'))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")
