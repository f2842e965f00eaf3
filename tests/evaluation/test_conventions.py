"""Each convention's rules, and what must hold for all of them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.conventions import CONVENTIONS, find_convention
from evaluation.conventions.equality import equal_as_written, equal_normalised
from evaluation.conventions.llava_med import (
    contains_gold,
    contains_gold_if_yes_or_no,
    word_overlap,
)
from evaluation.conventions.medevalkit import equal_after_parsing, parse_reply, yes_or_no
from evaluation.references import Reference
from semihvision.core.errors import InputError

VOCABULARY = ["yes", "no", "the", "left", "lung", "x-ray", "none", "two", "T2-weighted", "unknown."]
PHRASES = st.lists(st.sampled_from(VOCABULARY), max_size=6).map(" ".join)
GOLDS = st.lists(st.sampled_from(VOCABULARY), min_size=1, max_size=4).map(" ".join)


def reference(answer: str, answer_type: str = "OPEN") -> Reference:
    return Reference(
        id="1",
        question="What is shown?",
        answer=answer,
        answer_type=answer_type,
        question_type="PRES",
        image="a.jpg",
        group="a.jpg",
    )


def test_plain_and_normalised_equality() -> None:
    assert equal_as_written(" Right Lung ", "right lung") == 1
    assert equal_as_written("the right lung", "right lung") == 0
    assert equal_normalised("the right lung", "Right lung.") == 1
    assert equal_normalised("lung", "right lung") == 0


@settings(deadline=None)
@given(PHRASES, st.sampled_from([str.lower, str.upper, str.title]))
def test_plain_equality_implies_normalised_equality_without_outer_blanks(text, case) -> None:
    assert equal_as_written(case(text), text) == 1
    assert equal_normalised(case(text), text) == 1


def test_an_outer_blank_can_break_normalised_equality() -> None:
    """A blank beside one hyphen changes what becomes of the others."""
    assert equal_as_written("x-y- ", "x-y-") == 1
    assert equal_normalised("x-y- ", "x-y-") == 0


def test_word_overlap_by_hand() -> None:
    scores = word_overlap("left lung lung field", "the left lower lung")
    assert scores.recall == pytest.approx(3 / 4)
    assert scores.precision == pytest.approx(3 / 4)
    assert scores.f1 == pytest.approx(3 / 4)
    assert scores.token_exact == pytest.approx(2 / 4)


def test_every_missed_gold_word_counts() -> None:
    assert word_overlap("lung", "left left lung").recall == pytest.approx(1 / 3)


@pytest.mark.parametrize(("prediction", "gold"), [("", "lung"), ("the", "lung"), ("left", "right")])
def test_no_overlap_is_zero_everywhere(prediction: str, gold: str) -> None:
    assert set(word_overlap(prediction, gold)) == {0.0}


def test_repeating_a_right_word_raises_recall() -> None:
    """A property of the published formula that a reader should know of."""
    once = word_overlap("lung", "left lung field").recall
    thrice = word_overlap("lung lung lung", "left lung field").recall
    assert once == pytest.approx(1 / 3)
    assert thrice == pytest.approx(3 / 5)


@settings(deadline=None)
@given(PHRASES, GOLDS, st.integers(min_value=1, max_value=5))
def test_repeating_a_shared_word_never_lowers_recall(prediction, gold, times) -> None:
    before = word_overlap(prediction, gold)
    repeated = " ".join([prediction, *[gold.split()[0]] * times])
    assert word_overlap(repeated, gold).recall >= before.recall


@settings(deadline=None)
@given(PHRASES, GOLDS)
def test_overlap_values_belong_together(prediction, gold) -> None:
    scores = word_overlap(prediction, gold)
    assert all(0 <= value <= 1 for value in scores)
    assert min(scores.recall, scores.precision) - 1e-12 <= scores.f1
    assert scores.f1 <= max(scores.recall, scores.precision) + 1e-12
    assert scores.token_exact <= scores.precision + 1e-12
    if equal_normalised(prediction, gold) and scores.recall:
        assert scores.recall == scores.precision == 1


def test_substring_quirks() -> None:
    assert contains_gold("it is normal", "no") == 1
    assert contains_gold("Magnetic resonance (MRI)", "MRI") == 1
    assert contains_gold("anything", "The") == 1
    assert contains_gold_if_yes_or_no("mri", "MRI") == 0
    assert contains_gold_if_yes_or_no("yes, mri", "MRI") == 1
    assert contains_gold_if_yes_or_no("unknown", "no") == 1


@settings(deadline=None)
@given(PHRASES, GOLDS)
def test_gate_only_takes_hits_away(prediction, gold) -> None:
    assert contains_gold_if_yes_or_no(prediction, gold) <= contains_gold(prediction, gold)


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("Yes", "yes"),
        (r"so \boxed{\text{no}} it is, \boxed{Yes}", "yes"),
        (r"\boxed{\text{no}}", r"\text{no}"),
        (r"<answer>\boxed{yes}</answer>", "yes"),
        (r"\boxed{<answer>Yes</answer>}", "yes"),
        ("<answer>Yes</answer> or <answer>no</answer>", "yes no"),
        ("<answer>Yes", "<answer>yes"),
        ("The lesion is boxed: yes", ""),
        (r"\boxed{yes", ""),
        ("The answer is left. Or rather, Answer: x. Final answer: right", " right"),
        ("Answer: MRI", " mri"),
        ("**Answer**: MRI", " mri"),
    ],
)
def test_medevalkit_parses_replies(reply: str, expected: str) -> None:
    assert parse_reply(reply) == expected


def test_medevalkit_scores() -> None:
    assert yes_or_no("Answer: Yes.", "yes") == 1
    assert yes_or_no("yes and no", "yes") == 0
    assert yes_or_no("abnormal", "no") == 1
    assert yes_or_no("maybe", "no") == 0
    assert equal_after_parsing("MRI ", "mri") == 1
    assert equal_after_parsing("Answer: MRI", "mri") == 0


def test_splits_differ_for_closed_questions_without_yes_or_no() -> None:
    mri = reference("MRI", "CLOSED")
    assert CONVENTIONS["exact_vqa"].score(mri, "mri") == {
        "closed_accuracy": 1.0,
        "overall_accuracy": 1.0,
    }
    assert CONVENTIONS["medevalkit_rad"].score(mri, "mri") == {
        "open_accuracy": 1.0,
        "overall_accuracy": 1.0,
    }
    assert not CONVENTIONS["medevalkit_rad"].is_closed(reference("MRI", "CLOSED"))
    assert CONVENTIONS["medevalkit_rad"].is_closed(reference(" Yes", "OPEN"))


@pytest.mark.parametrize("name", CONVENTIONS)
@settings(deadline=None)
@given(prediction=PHRASES, gold=GOLDS, kind=st.sampled_from(["OPEN", "CLOSED"]))
def test_every_convention_keeps_its_contract(name, prediction, gold, kind) -> None:
    one, question = CONVENTIONS[name], reference(gold, kind)
    scores = one.score(question, prediction)
    assert set(scores) <= set(one.metrics)
    assert all(0 <= value <= 1 for value in scores.values())
    missing = one.score(question, None)
    assert set(missing) == set(scores)
    assert not any(missing.values())


def test_unknown_convention_lists_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"'bleu'; known: exact, exact_vqa, llava_med"):
        find_convention("bleu")
