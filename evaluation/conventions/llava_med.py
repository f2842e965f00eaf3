"""LLaVA-Med's conventions: recall for open questions, substring accuracy for closed ones.

Both sides are lower-cased and normalised; split by answer_type. The "open" column of the LLaVA-Med
paper is `open_recall`, its "closed" column `closed_accuracy` of `llava_med`.
"""

from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from evaluation.conventions.convention import Convention, Scorer
from evaluation.normalisation import normalise_vqa_v2


class Overlap(NamedTuple):
    """Word overlap of one prediction with its gold answer, each value from 0 to 1."""

    recall: float
    precision: float
    f1: float
    token_exact: float


_NO_OVERLAP = Overlap(0.0, 0.0, 0.0, 0.0)


def _normalised(text: str) -> str:
    return normalise_vqa_v2(text.lower())


def _word_counts(text: str) -> Counter[str]:
    # The official script normalises once when it reads and once more when it counts. That differs
    # from once only for texts with more than 32 periods.
    return Counter(normalise_vqa_v2(_normalised(text)).split())


def word_overlap(prediction: str, gold: str) -> Overlap:
    """Word overlap as LLaVA-Med counts it.

    With tp = the *prediction's* count of shared words, fp = its count of other words and
    fn = the gold's count of unshared words: recall = tp / (tp + fn), precision = tp / (tp + fp),
    f1 their harmonic mean, token_exact = shared word types / words of the prediction.

    Quirks, all kept: repeating a shared word raises tp, and with it recall; a gold word that the
    prediction contains once counts as found however often the gold holds it; ``token_exact``, which
    LLaVA-Med prints as "exact match score", is not equality.

    Returns:
        All 0 without a shared word or with an empty side.

    Source:
        microsoft/LLaVA-Med v1.0.0 ``llava/eval/eval_metrics/evaluate_metrics.py``,
        ``calculate_f1score`` and ``calculate_exactmatch``.
    """
    predicted, expected = _word_counts(prediction), _word_counts(gold)
    shared = predicted.keys() & expected.keys()
    if not shared:
        return _NO_OVERLAP
    hits = sum(predicted[word] for word in shared)
    missed = sum(count for word, count in expected.items() if word not in shared)
    recall, precision = hits / (hits + missed), hits / predicted.total()
    return Overlap(
        recall=recall,
        precision=precision,
        f1=2 * precision * recall / (precision + recall),
        token_exact=len(shared) / predicted.total(),
    )


def _overlap(part: Callable[[Overlap], float]) -> Scorer:
    return lambda prediction, gold: part(word_overlap(prediction, gold))


def contains_gold(prediction: str, gold: str) -> float:
    """1 if the normalised gold is a substring of the normalised prediction.

    Quirks, kept: "no" is found in "unknown", "normal" and "note"; a gold that normalises to nothing
    ("The") is found everywhere.
    """
    return float(_normalised(gold) in _normalised(prediction))


def contains_gold_if_yes_or_no(prediction: str, gold: str) -> float:
    """Like `contains_gold`, but only if "yes" or "no" is a substring of the prediction."""
    text = _normalised(prediction)
    return float(("yes" in text or "no" in text) and _normalised(gold) in text)


def contains_gold_or_is_dropped(prediction: str, gold: str) -> float | None:
    """1 for a reply with yes or no that contains the gold, None if it does not; 0 without either.

    Quirk, kept: a wrong yes or no leaves the denominator, so that only replies without a yes or no
    lower the score.
    """
    text = _normalised(prediction)
    if "yes" not in text and "no" not in text:
        return 0.0
    return 1.0 if _normalised(gold) in text else None


LLAVA_MED = Convention(
    summary="closed: gold is a substring; open: word recall",
    split="answer_type",
    closed={"accuracy": contains_gold},
    open={
        "recall": _overlap(lambda overlap: overlap.recall),
        "precision": _overlap(lambda overlap: overlap.precision),
        "f1": _overlap(lambda overlap: overlap.f1),
        "token_exact": _overlap(lambda overlap: overlap.token_exact),
        "accuracy": contains_gold,
    },
)
"""The convention of LLaVA-Med's table. Formula: mean of each scorer over its half.

``open_accuracy`` is what the script prints under that name: gold is a substring of the prediction.
Source: microsoft/LLaVA-Med v1.0.0 ``llava/eval/run_eval_batch.py``.
Deviations: joined by id instead of by position; ``overall_accuracy`` (substring over both halves)
is ours, its owners print none; its BLEU, computed on a flat reference list, is left out.
"""

LLAVA_MED_GATED = Convention(
    summary="closed: gold is a substring, and the reply says yes or no; open: word recall",
    split="answer_type",
    closed={"accuracy": contains_gold_if_yes_or_no},
    open={"recall": _overlap(lambda overlap: overlap.recall)},
)
"""The gate of LLaVA-Med's single-file script. Formula: mean of each scorer over its half.

Closed golds other than yes and no (21 of 272 in VQA-RAD's test set) are nearly always lost.
Source: microsoft/LLaVA-Med@fc39e79 and later, ``llava/eval/run_eval.py``.
Deviations: joined by id; misses stay in the denominator (before fc39e79 they were dropped); its
"open accuracy" is left out, because it needs a list of the training set's open answers.
"""

LLAVA_MED_PVQA = Convention(
    summary="closed: as gated, but a wrong yes or no is left out of the mean; open: word recall",
    split="answer_type",
    closed={"accuracy": contains_gold_or_is_dropped},
    open={"recall": _overlap(lambda overlap: overlap.recall), "accuracy": contains_gold},
)
"""LLaVA-Med's script for PathVQA, with its bug. Formula: mean over what is not dropped.

``closed_accuracy`` cannot be compared with any other: its ``n_scored`` shrinks with every wrong yes
or no. A missing answer counts as a reply without yes or no.
Source: microsoft/LLaVA-Med@e9972cf ``llava/eval/run_eval_pvqa.py``. Deviation: joined by id.
"""
