"""MedEvalKit's conventions for VQA-RAD (and PathVQA) and for SLAKE."""

import re

from evaluation.conventions.convention import Convention

_ANSWER_TAG = re.compile("<answer>(.*?)</answer>", re.DOTALL)
_ANSWER_MARKERS = (
    "**answer**:",
    "**answer**",
    "*answer*:",
    "**answer:**",
    "answer is",
    "answer:",
    "答案:",
    "final answer",
    "final answer is",
)


def _last_boxed(text: str) -> str | None:
    r"""Content of the last ``\boxed{...}``, nested braces included; None without a whole one."""
    _, marker, rest = text.rpartition("\\boxed{")
    if not marker:
        return None
    depth = 1
    for position, letter in enumerate(rest):
        depth += {"{": 1, "}": -1}.get(letter, 0)
        if depth == 0:
            return rest[:position].strip()
    return None


def _tagged(text: str) -> str:
    """Contents of all ``<answer>`` tags, joined by blanks; the whole text if there is none."""
    return " ".join(_ANSWER_TAG.findall(text)).strip() or text


def parse_reply(reply: str, *, strip: bool = True) -> str:
    """Finds the answer in a model's reply.

    First the last boxed text, else the ``<answer>`` tags, all of it once as written and once after
    lower-casing; then what follows the last answer marker ("answer is", "answer:", "final answer",
    bold forms, ...).

    Quirks, kept: the blank after a marker stays, so "Answer: mri" gives " mri", which equals no
    gold; a reply that says "boxed" without a boxed text is lost.

    Args:
        reply: The whole reply.
        strip: Whether outer blanks are removed after the first step (VQA-RAD and PathVQA).

    Returns:
        Lower-case text; empty where the reply is lost.

    Source:
        alibaba-damo-academy/MedEvalKit@9b12e3b, ``utils/VQA_RAD/VQA_RAD.py`` and ``parse_response``
        in ``utils/utils.py``.
    """
    boxed = _last_boxed(reply)
    text = (_tagged(reply) if boxed is None else boxed).lower()
    text = text.strip() if strip else text
    # The official code gets the word "None" here, which like the empty text matches no gold.
    text = (_last_boxed(text) or "") if "boxed" in text else _tagged(text)
    for marker in _ANSWER_MARKERS:
        text = text.rpartition(marker)[2]
    return text


def yes_or_no(prediction: str, gold: str) -> float:
    """1 if the reply contains exactly one of "yes" and "no", and it is the gold."""
    text = parse_reply(prediction).replace("\n", "").replace(".", "")
    return float(("yes" in text) != ("no" in text) and gold.lower().strip() in text)


def equal_after_parsing(prediction: str, gold: str) -> float:
    """1 if the parsed reply equals the gold, lower-cased and stripped."""
    return float(parse_reply(prediction) == gold.lower().strip())


def closed_as_in_slake(prediction: str, gold: str) -> float:
    """The yes/no gate for the golds "yes" and "no", else equality without periods and line breaks.

    Quirk, kept: the gold is compared with "yes" and "no" as written, and SLAKE writes "Yes" and
    "No": its closed questions all take the second way.
    """
    if gold in ("yes", "no"):
        return yes_or_no(prediction, gold)
    text = parse_reply(prediction, strip=False).replace("\n", "").replace(".", "")
    return float(text == gold.lower())


def open_as_in_slake(prediction: str, gold: str) -> float:
    """1 if the parsed reply equals the lower-cased gold; blanks count."""
    return float(parse_reply(prediction, strip=False) == gold.lower())


MEDEVALKIT_RAD = Convention(
    summary="yes/no golds: exactly one of yes, no; others: equal after parsing the reply",
    split="yes_no_gold",
    closed={"accuracy": yes_or_no},
    open={"accuracy": equal_after_parsing},
)
"""MedEvalKit on VQA-RAD. Formula: hits / n in each half, and over both.

Split: by gold in {yes, no}, *not* by answer_type (VQA-RAD test: 251 and 200, not 272 and 179).
Source: alibaba-damo-academy/MedEvalKit@9b12e3b, ``utils/VQA_RAD/VQA_RAD.py``, ``judge_judgement``
and ``judge_open_end_vqa``.
Deviation: its BLEU, ROUGE and word-set precision, recall and F1 of open answers are left out (it
stores those three under one another's names).
"""

MEDEVALKIT_SLAKE = Convention(
    summary="equal after parsing the reply; closed also without periods",
    split="answer_type",
    closed={"accuracy": closed_as_in_slake},
    open={"accuracy": open_as_in_slake},
)
"""MedEvalKit on SLAKE. Formula: hits / n in each half, and over both. Split: answer_type.

Source: alibaba-damo-academy/MedEvalKit, ``utils/SLAKE/SLAKE.py``, ``judge_close_end_vqa`` and
``judge_open_end_vqa``; the rules as metrics.md describes 9b12e3b and as its copies have them.
Deviation: BLEU, ROUGE and word-set scores of open answers are left out.
"""
