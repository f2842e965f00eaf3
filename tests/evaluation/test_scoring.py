"""Scores of whole files: denominators, order, missing answers."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.conventions import CONVENTIONS
from evaluation.references import Reference
from evaluation.scoring import score_answers

TEXTS = st.sampled_from(["yes", "no", "left lung", "the Left lung", "x-ray", "none", "0", ""])
ROWS = st.lists(
    st.tuples(
        st.sampled_from(["yes", "no", "left lung", "x-ray", "0"]),
        st.sampled_from(["OPEN", "CLOSED"]),
        st.sampled_from(["a.jpg", "b.jpg", "c.jpg"]),
        st.none() | TEXTS,
    ),
    min_size=1,
    max_size=12,
)


def asked(rows) -> tuple[list[Reference], dict[str, str | None]]:
    references = [
        Reference(
            id=str(number),
            question="What?",
            answer=answer,
            answer_type=kind,
            question_type="",
            image=image,
            group=image,
        )
        for number, (answer, kind, image, _) in enumerate(rows)
    ]
    return references, {str(number): row[3] for number, row in enumerate(rows)}


def test_missing_answers_stay_in_the_denominator() -> None:
    references, _ = asked(
        [("yes", "CLOSED", "a", None), ("no", "CLOSED", "b", None), ("liver", "OPEN", "b", None)]
    )
    result = score_answers(references, {"0": "yes", "1": None})
    assert (result["n"], result["missing"], result["missing_ids"]) == (3, 2, ["1", "2"])
    scores = result["conventions"]["exact_vqa"]
    assert scores["closed_accuracy"] == 50
    assert scores["open_accuracy"] == 0
    assert scores["overall_accuracy"] == pytest.approx(100 / 3)
    assert scores["ci95"]["open_accuracy"] is None


def test_a_half_without_questions_has_no_score() -> None:
    references, answers = asked([("yes", "CLOSED", "a", "yes")])
    scores = score_answers(references, answers)["conventions"]["llava_med"]
    assert scores["closed_accuracy"] == 100
    assert scores["open_recall"] is None
    assert scores["n_open"] == 0


@settings(deadline=None, max_examples=30)
@given(rows=ROWS, data=st.data())
def test_order_changes_nothing(rows, data) -> None:
    references, answers = asked(rows)
    shuffled = data.draw(st.permutations(references))
    reordered = dict(data.draw(st.permutations(list(answers.items()))))
    one = score_answers(references, answers)["conventions"]
    other = score_answers(shuffled, reordered)["conventions"]
    for name, scores in one.items():
        for metric in scores["ci95"]:
            assert other[name][metric] == pytest.approx(scores[metric])
            assert other[name]["ci95"][metric] == pytest.approx(scores["ci95"][metric])


@settings(deadline=None, max_examples=30)
@given(ROWS)
def test_percentages_and_counts(rows) -> None:
    references, answers = asked(rows)
    result = score_answers(references, answers)
    assert result["missing"] == sum(answer is None for answer in answers.values())
    for name, scores in result["conventions"].items():
        assert scores["n_closed"] + scores["n_open"] == result["n"] == len(rows)
        for metric in CONVENTIONS[name].metrics:
            score, interval = scores[metric], scores["ci95"][metric]
            assert score is None or 0 <= score <= 100
            assert interval is None or 0 <= interval[0] <= interval[1] <= 100
    assert json.loads(json.dumps(result))["n"] == len(rows)


@settings(deadline=None, max_examples=30)
@given(ROWS)
def test_giving_every_gold_answer_is_right(rows) -> None:
    references, _ = asked(rows)
    golds = {reference.id: reference.answer for reference in references}
    scores = score_answers(references, golds)["conventions"]
    for name in ("exact", "exact_vqa", "llava_med", "medevalkit_rad"):
        assert scores[name]["overall_accuracy"] == 100
