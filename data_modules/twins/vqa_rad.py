"""The twin of VQA-RAD: phantoms with questions whose answers no wording betrays."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from numpy.random import Generator, default_rng

from data_modules.phantom_anatomy import ORGANS
from data_modules.phantoms import SIDES, Factors, Phantom, design, draw
from data_modules.vqa_rad import SPLIT_FILES
from semihvision.core.errors import InputError
from semihvision.core.files import write_text_atomically

_WORDINGS: dict[str, tuple[str, ...]] = {
    "ORGAN": (
        "Which organ is shown?",
        "What organ does this image show?",
        "Which organ can be seen in this image?",
    ),
    "POS": (
        "Which side is affected, left or right?",
        "Is the abnormality on the left or on the right?",
        "On which side is the pathology, left or right?",
    ),
    "SIZE": (
        "Is the abnormality small or large?",
        "What is the size of the pathology, small or large?",
        "Is the lesion size small or large?",
    ),
    "COUNT": (
        "How many lesions are there?",
        "How many lesions can be counted?",
        "What is the number of lesions?",
    ),
    "PRES": (
        "Is there a lesion in the {site}?",
        "Does the {site} contain a lesion?",
        "Is a lesion seen in the {site}?",
    ),
}
"""Question type -> ways to ask. No wording depends on the answer."""

MOST_TEST_PHANTOMS = 120
"""600 questions tell two models apart well enough; more would only take time to answer."""

_ORGANS = {"head_neck": "HEAD", "thorax": "CHEST", "abdomen": "ABD"}


def write_twin(root: Path, *, cases: int, seed: int) -> None:
    """Writes phantoms with questions in the owners' layout.

    A quarter of the phantoms, at most `MOST_TEST_PHANTOMS`, are test images; none of them occurs
    in training (unlike the real set). Each phantom has five questions: organ, side, size, number,
    presence in one half of the organ. Answers are balanced for every wording in both splits,
    exactly if each split holds a multiple of 60 phantoms, so that a model that sees only the
    question is at chance.

    Args:
        root: Folder to write to.
        cases: Number of phantoms, at least 2.
        seed: Decides everything.
    """
    if cases < 2:
        raise InputError(f"cases {cases}: expected at least 2, one for each split")
    random = default_rng([seed, 1])
    (root / "images").mkdir(parents=True, exist_ok=True)
    test = min(max(1, round(cases / 4)), MOST_TEST_PHANTOMS)
    answers: set[str] = set()
    first = 0
    for split, number in (("train", cases - test), ("test", test)):
        rows: list[dict[str, Any]] = []
        ask = _Questioner()
        for index, factors in enumerate(design(number, random), start=first):
            image_name = f"phantom{index + 1:05d}.jpg"
            phantom = draw(factors, [seed, index])
            phantom.image().convert("RGB").save(root / "images" / image_name, quality=95)
            for question in ask.about(phantom):
                rows.append(
                    {"qid": 5 * first + len(rows) + 1, "image_name": image_name, **question}
                )
        first += number
        answers |= {str(row["answer"]) for row in rows}
        _write_json(root / SPLIT_FILES[split], _in_random_order(rows, random))
    _write_json(root / "answer_all_list.json", sorted(answers))


class _Questioner:
    """Asks about phantoms; takes the wordings of each answer in turn, so that none betrays it."""

    def __init__(self) -> None:
        self._turns: Counter[tuple[str, ...]] = Counter()

    def about(self, phantom: Phantom) -> Iterator[dict[str, Any]]:
        """The five questions on one phantom, as owners' rows without id and image."""
        factors = phantom.factors
        yield self._row(phantom, "ORGAN", factors.organ, closed=False)
        yield self._row(phantom, "POS", factors.side, closed=True)
        yield self._row(phantom, "SIZE", factors.size, closed=True)
        yield self._row(phantom, "COUNT", factors.number, closed=False)
        asked = self._asked_side(factors)
        answer = "yes" if asked == factors.side else "no"
        yield self._row(phantom, "PRES", answer, closed=True, site=phantom.organ.site(asked))

    def _asked_side(self, factors: Factors) -> str:
        """Each side in turn, the left one first, so that "yes" and "no" stay even."""
        return SIDES[self._turn("asked side", factors.organ, factors.side) % 2]

    def _turn(self, *key: str) -> int:
        turn = self._turns[key]
        self._turns[key] += 1
        return turn

    def _row(
        self, phantom: Phantom, kind: str, answer: str | int, *, closed: bool, site: str = ""
    ) -> dict[str, Any]:
        wordings = _WORDINGS[kind]
        wording = self._turn(kind, site, str(answer)) % len(wordings)
        return {
            "image_organ": _ORGANS[ORGANS[phantom.factors.organ].body_part],
            "answer": answer,
            "answer_type": "CLOSED" if closed else "OPEN",
            "question_type": kind,
            "question": wordings[wording].format(site=site),
            "phrase_type": "para" if wording else "freeform",
        }


def _in_random_order(rows: list[dict[str, Any]], random: Generator) -> list[dict[str, Any]]:
    return [rows[i] for i in random.permutation(len(rows))]


def _write_json(path: Path, value: Any) -> None:
    write_text_atomically(path, json.dumps(value, indent=2) + "\n")
