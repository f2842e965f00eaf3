"""VQA-v2 normalisation: its quirks, its properties, and the strings the official code wrote."""

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.normalisation import normalise_vqa_v2

PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
WORDS = [
    "the",
    "a",
    "none",
    "Two",
    "dont",
    "x-ray",
    "3.4",
    "1,000",
    "couldnt've",
    "Left",
    "yall'd've",
]
PIECES = st.one_of(
    st.sampled_from(WORDS), st.sampled_from([*PUNCTUATION, ".", "'", " ", "\t", "7"])
)
ANSWERS = st.lists(PIECES, max_size=12).map("".join)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Yes", "yes"),
        ("The left lung.", "left lung"),
        ("x-ray", "x ray"),
        ("x-ray - chest", "xray chest"),
        ("air -fluid-level", "air fluidlevel"),
        ("pulmonary/lymphatic", "pulmonary lymphatic"),
        ("1,000 mm-wide", "1000 mmwide"),
        ("one, two", "1 2"),
        ("none", "0"),
        ("zero", "0"),
        ("eleven", "eleven"),
        ("3.4 cm", "3.4 cm"),
        ("grade 2.", "grade 2"),
        ("2. lesion", "2 lesion"),
        ("dont", "don't"),
        ("couldnt've", "couldn't've"),
        ("couldn'tve", "couldn't've"),
        ("y'allll", "y'all'll"),
        ("somebody'd", "somebodyd"),
        ("Im", "im"),
        ("The", ""),
        ("", ""),
    ],
)
def test_rules_and_quirks(text: str, expected: str) -> None:
    assert normalise_vqa_v2(text) == expected


def test_only_32_periods_are_deleted() -> None:
    assert normalise_vqa_v2("." * 32) == ""
    assert normalise_vqa_v2("." * 33) == "."


@settings(deadline=None)
@given(ANSWERS)
def test_normalising_twice_changes_nothing(text: str) -> None:
    once = normalise_vqa_v2(text)
    assert normalise_vqa_v2(once) == once


@settings(deadline=None)
@given(ANSWERS)
def test_result_is_clean(text: str) -> None:
    words = normalise_vqa_v2(text).split(" ")
    assert not set(PUNCTUATION) & set("".join(words))
    assert not {"a", "an", "the", "none", "zero", "ten", "dont"} & set(words)
    assert words == [""] or all(words)


@settings(deadline=None)
@given(ANSWERS)
def test_case_does_not_matter(text: str) -> None:
    assert normalise_vqa_v2(text.upper()) == normalise_vqa_v2(text.lower())


@pytest.mark.parametrize("epoch", range(20))
def test_same_strings_as_the_official_scorer(epoch: int, mumc_predictions, vqa_rad_root) -> None:
    """The published comparison files hold what the official code made of golds and predictions.

    That script cleans the text before it normalises; only texts that the cleaning does not touch
    can be compared: none of its marks, no "x-ray", no tab.
    """
    rows = json.loads((vqa_rad_root / "testset.json").read_text())
    golds = {str(row["qid"]): str(row["answer"]) for row in rows}
    stem = f"med_pretrain_29_vqa_result_{epoch}"
    predictions = json.loads((mumc_predictions / f"{stem}.json").read_text())
    answers = {str(row["qid"]): row["answer"] for row in predictions}
    official = json.loads((mumc_predictions / f"{stem}_compare.json").read_text())
    cleaned = re.compile(r"[,.'!?\"()*#:;~\t]|x.ray| - ", re.IGNORECASE)
    num_compared = 0
    for qid, (official_gold, official_answer) in official.items():
        for text, expected in ((golds[qid], official_gold), (answers[qid], official_answer)):
            if not cleaned.search(text):
                assert normalise_vqa_v2(text) == expected
                num_compared += 1
    assert num_compared > 800
