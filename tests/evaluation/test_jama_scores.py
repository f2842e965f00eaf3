import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_modules import jama
from evaluation.jama import (
    JamaCase,
    cases_of,
    chosen_option,
    lexical_score,
    questions_of,
    read_case_records,
    score_jama,
)
from semihvision.core.errors import InputError, RefusalLog

OPTIONS = ("Sarcoidosis", "Psoriasis", "Psoriatic arthritis", "A large mass")


@pytest.mark.parametrize(
    ("answer", "choice"),
    [
        ("B", 1),
        ("b. Psoriasis", 1),  # by its text
        ("(B) because of the scales", 1),
        ("**B** Psoriasis", 1),
        ("B\nThe scales are typical.", 1),
        ("The answer is B.", 1),
        ("The correct option is (C), not B.", 2),
        ("Answer: D", 3),
        ("I choose option C", 2),
        ("C. Option B is less likely, as the answer is not B: sarcoidosis", 2),
        ("Answer: **A**", 0),
        ("The answer is A.", 0),
        ("Answer: A", 0),
        ("The answer is A large mass", 3),
        ("After all, the diagnosis is psoriatic arthritis.", 2),
        ("Sarcoidosis is the answer", 0),
        ("A 58-year-old man has a rash.", None),
        ("The answer is A or the answer is B", None),
        ("The answer is a matter of taste", None),
        ("The answer isn't A. It's psoriasis", 1),
        ("Sarcoidosis or psoriasis", None),
        ("E", None),
        ("", None),
    ],
)
def test_option_chosen_by_rule(answer, choice):
    assert chosen_option(answer, OPTIONS) == choice


def test_a_longer_option_that_holds_a_shorter_one_is_no_choice_between_them():
    options = ("Pneumonia", "Lobar pneumonia", "Oedema", "Embolism")
    assert chosen_option("It is lobar pneumonia", options) is None


@given(st.text(max_size=200))
def test_any_text_is_parsed_without_error(answer):
    assert chosen_option(answer, OPTIONS) in (None, 0, 1, 2, 3)


@given(st.text(max_size=100), st.text(max_size=100))
def test_lexical_score_is_symmetric_and_bounded(one, other):
    score = lexical_score(one, other)
    assert 0 <= score <= 100
    assert score == pytest.approx(lexical_score(other, one))


def test_lexical_score_of_known_texts():
    assert lexical_score("The scales, silvery!", "Silvery scales") == 100
    assert lexical_score("", "Silvery scales") == 0
    assert lexical_score("the of and", "the of and") == 0  # no content word
    # two shared of two and four content words: F1 = 2 * 2 / 6
    assert lexical_score("silvery scales", "silvery scales point psoriasis") == pytest.approx(
        100 * 2 * 2 / 6
    )


def case(number: int, *, has_images: bool = True, discussion: str = "alpha beta") -> JamaCase:
    return JamaCase(
        id=str(number),
        source="jama",
        question="?",
        options=OPTIONS,
        answer=1,
        discussion=discussion,
        has_images=has_images,
    )


def test_scores_count_text_only_cases_apart_and_missing_answers_as_wrong():
    cases = [case(1), case(2), case(3, has_images=False), case(4, discussion="")]
    scores = score_jama(cases, {"1": "B. alpha beta", "2": "D. alpha", "3": "beta", "4": None})
    assert scores["n"] == 4
    assert scores["n_with_images"] == 3
    assert scores["n_text_only"] == 1
    assert scores["missing"] == 1
    assert scores["no_option"] == 1
    assert scores["accuracy"] == 25
    assert scores["accuracy_with_images"] == pytest.approx(100 / 3)
    assert scores["accuracy_text_only"] == 0
    # Over the three cases with a discussion; "b" and "d" are words of the answers, too.
    expected = [100 * 4 / 5, 100 * 2 / 4, 100 * 2 / 3]
    assert scores["lexical_score"] == pytest.approx(sum(expected) / 3)


def test_cases_and_questions_of_the_demo_twin(tmp_path):
    jama.write_twin(tmp_path, cases=8, seed=0)
    refused = RefusalLog()
    records = read_case_records(tmp_path, refused)
    cases = cases_of(records)
    questions = questions_of(records, tmp_path)
    assert [one.id for one in cases] == [question.id for question in questions]
    assert sum(not one.has_images for one in cases) == 1
    for one, question in zip(cases, questions, strict=True):
        prompt = question.turns[0].text
        assert prompt.count("<image>") == len(question.pictures) == int(one.has_images)
        assert one.discussion not in prompt
        assert "Choose one option" in prompt
        assert one.reference.endswith(one.discussion)
    right = {one.id: one.reference for one in cases}
    scores = score_jama(cases, right)
    assert scores["accuracy"] == 100
    assert scores["lexical_score"] > 90


def test_a_path_without_cases_is_an_error(tmp_path):
    with pytest.raises(InputError, match=r"jama\.jsonl"):
        read_case_records(tmp_path, RefusalLog())
    (tmp_path / "jama.jsonl").write_text("")
    with pytest.raises(InputError, match="no case with options"):
        read_case_records(tmp_path, RefusalLog())
