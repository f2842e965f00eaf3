"""The torchmetrics form gives what the plain form gives, in parts as in one piece."""

import copy

import pytest

from evaluation.metrics import VQAScores
from evaluation.references import Reference
from evaluation.scoring import score_answers
from semihvision.core.errors import InputError

ANSWERS = ["yes", None, "left lung", "the right lung field", "mri", "no", "x ray", ""]
GOLDS = ["Yes", "no", "Left lung.", "right lung", "MRI", "no", "x-ray", "liver"]
KINDS = ["CLOSED", "CLOSED", "OPEN", "OPEN", "CLOSED", "CLOSED", "OPEN", "OPEN"]


@pytest.fixture
def references() -> list[Reference]:
    return [
        Reference(
            id=str(number),
            question="What?",
            answer=gold,
            answer_type=kind,
            question_type="",
            image=f"{number % 3}.jpg",
            group=f"{number % 3}.jpg",
        )
        for number, (gold, kind) in enumerate(zip(GOLDS, KINDS, strict=True))
    ]


def values(metric: VQAScores) -> dict[str, float]:
    return {name: value.item() for name, value in metric.compute().items()}


def test_equals_the_plain_scores(references) -> None:
    metric = VQAScores()
    metric.update(ANSWERS, references)
    plain = score_answers(references, {str(n): answer for n, answer in enumerate(ANSWERS)})
    expected = {
        f"{name}/{key}": scores[key]
        for name, scores in plain["conventions"].items()
        for key in scores["ci95"]
    }
    assert values(metric) == pytest.approx({**expected, "n": 8, "missing": 1})


@pytest.mark.parametrize("cut", range(1, 8))
def test_parts_and_processes_add_up(references, cut: int) -> None:
    whole, parts = VQAScores(["exact_vqa", "llava_med"]), VQAScores(["exact_vqa", "llava_med"])
    whole.update(ANSWERS, references)
    other_process = copy.deepcopy(parts)
    parts.update(ANSWERS[:cut], references[:cut])
    other_process.update(ANSWERS[cut:], references[cut:])
    parts.merge_state(other_process)
    assert values(parts) == pytest.approx(values(whole))


def test_reset_forgets_and_an_empty_half_is_absent(references) -> None:
    metric = VQAScores(["exact_vqa"])
    metric.update(ANSWERS, references)
    metric.reset()
    metric.update(["yes"], references[:1])
    assert values(metric) == {
        "exact_vqa/closed_accuracy": 100.0,
        "exact_vqa/overall_accuracy": 100.0,
        "n": 1,
        "missing": 0,
    }


def test_lengths_must_agree(references) -> None:
    with pytest.raises(InputError, match="got 1 predictions for 8 references"):
        VQAScores().update(["yes"], references)


def test_unknown_convention() -> None:
    with pytest.raises(InputError, match="unknown convention 'bleu'"):
        VQAScores(["bleu"])
