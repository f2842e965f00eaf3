"""Answers without looking at the image: what a model must beat to show that it sees."""

from collections import Counter
from collections.abc import Sequence

from evaluation.references import Reference


def majority_answers(
    training: Sequence[Reference], questions: Sequence[Reference]
) -> dict[str, str]:
    """Gives every question the commonest training answer.

    Answers are compared in lower case without outer blanks; among equally common ones the first in
    the training set wins.

    Args:
        training: Questions with gold answers to count; not empty.
        questions: Questions to answer; only their ids are read.

    Returns:
        Answer by question id.
    """
    answer = _commonest(training)
    return {question.id: answer for question in questions}


def majority_answers_by_type(
    training: Sequence[Reference], questions: Sequence[Reference]
) -> dict[str, str]:
    """Gives every question the commonest training answer of its answer type.

    Like `majority_answers`, but it is told whether a question is CLOSED or OPEN, which a model is
    not.
    """
    kinds = {question.answer_type for question in questions}
    answers = {
        kind: _commonest([reference for reference in training if reference.answer_type == kind])
        for kind in kinds
    }
    return {question.id: answers[question.answer_type] for question in questions}


def question_only_answers(
    training: Sequence[Reference], questions: Sequence[Reference]
) -> dict[str, str]:
    """Classifies each question's words to a training answer, blind to the image.

    TF-IDF over words, then multinomial logistic regression over all training answers (lower case,
    stripped). C = 10 was chosen by cross-validation over training images; no test answer was used.

    Args:
        training: Questions with gold answers; at least two different answers.
        questions: Questions to answer; only id and text are read.

    Returns:
        Answer by question id.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    classifier = make_pipeline(TfidfVectorizer(), LogisticRegression(C=10.0, max_iter=1000))
    classifier.fit(
        [reference.question for reference in training],
        [_answer_key(reference) for reference in training],
    )
    predicted = classifier.predict([question.question for question in questions])
    return {question.id: str(answer) for question, answer in zip(questions, predicted, strict=True)}


def _commonest(references: Sequence[Reference]) -> str:
    return Counter(map(_answer_key, references)).most_common(1)[0][0]


def _answer_key(reference: Reference) -> str:
    return reference.answer.lower().strip()
