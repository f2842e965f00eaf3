"""Two conventions by equality: `exact` as written, `exact_vqa` after VQA-v2 normalisation."""

from evaluation.conventions.convention import Convention
from evaluation.normalisation import normalise_vqa_v2


def equal_as_written(prediction: str, gold: str) -> float:
    """1 if both are equal after lower-casing and stripping outer blanks."""
    return float(prediction.lower().strip() == gold.lower().strip())


def equal_normalised(prediction: str, gold: str) -> float:
    """1 if both are equal after `normalise_vqa_v2`."""
    return float(normalise_vqa_v2(prediction) == normalise_vqa_v2(gold))


EXACT = Convention(
    summary="equal after lower-case and strip",
    split="answer_type",
    closed={"accuracy": equal_as_written},
    open={"accuracy": equal_as_written},
)
"""Plain equality. Formula: hits / n in each half. Split: answer_type. Source: common practice."""

EXACT_VQA = Convention(
    summary="equal after VQA-v2 normalisation",
    split="answer_type",
    closed={"accuracy": equal_normalised},
    open={"accuracy": equal_normalised},
)
"""Normalised equality. Formula: hits / n in each half. Split: answer_type.

Source: longle0702/med-v2qa@727f26a ``vqaTools/vqaEval.py``, the scorer behind MUMC's published
VQA-RAD accuracies. Deviation: that script first runs a cleaning of its own, ``pre_answer`` (deletes
``, . ' ! ? " ( ) * # : ; ~``, joins "x-ray"), which is not part of VQA-v2 and is left out. On the
20 published prediction files the verdict is the same for each of the 9,020 answers.
"""
