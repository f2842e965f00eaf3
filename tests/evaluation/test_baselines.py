"""Baselines that never look at an image."""

import dataclasses

import pytest

from evaluation.baselines import (
    majority_answers,
    majority_answers_by_type,
    question_only_answers,
)
from evaluation.benchmarks import load_references
from evaluation.references import Reference
from evaluation.scoring import score_answers


def question(number: int, text: str, answer: str, answer_type: str) -> Reference:
    return Reference(
        id=str(number),
        question=text,
        answer=answer,
        answer_type=answer_type,
        question_type="",
        image=f"{number}.jpg",
        group=f"{number}.jpg",
    )


TRAINING = [
    question(1, "is there a mass", "No", "CLOSED"),
    question(2, "is there a fracture", "no ", "CLOSED"),
    question(3, "which organ is this", "Liver", "OPEN"),
    question(4, "which organ is enlarged", "liver", "OPEN"),
    question(5, "is there free air", "NO", "CLOSED"),
]
ASKED = [
    question(10, "is there a nodule", "yes", "CLOSED"),
    question(11, "which organ is abnormal", "spleen", "OPEN"),
]


def test_majority() -> None:
    assert majority_answers(TRAINING, ASKED) == {"10": "no", "11": "no"}
    assert majority_answers_by_type(TRAINING, ASKED) == {"10": "no", "11": "liver"}


def test_question_only_learns_from_words() -> None:
    assert question_only_answers(TRAINING, ASKED) == {"10": "no", "11": "liver"}


@pytest.mark.parametrize(
    "baseline", [majority_answers, majority_answers_by_type, question_only_answers]
)
def test_no_baseline_sees_gold_or_image_of_what_it_is_asked(baseline) -> None:
    blinded = [dataclasses.replace(one, answer="?", image="?", group="?") for one in ASKED]
    assert baseline(TRAINING, blinded) == baseline(TRAINING, ASKED)


def test_majority_on_the_real_vqa_rad(vqa_rad_root) -> None:
    """48.9 % of the closed test questions: issue 2's floor."""
    training = load_references("vqa_rad", vqa_rad_root / "trainset.json")
    test = load_references("vqa_rad", vqa_rad_root / "testset.json")
    scores = score_answers(test, majority_answers(training, test))["conventions"]["exact_vqa"]
    assert round(scores["closed_accuracy"], 1) == 48.9
    assert scores["open_accuracy"] == 0
