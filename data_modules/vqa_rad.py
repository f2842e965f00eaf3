"""VQA-RAD: questions and answers about radiology images, asked by clinicians.

Owner: Lau et al. (National Library of Medicine).
URL: https://osf.io/89kps/
Licence: CC0 1.0.
Access: open download; nothing is downloaded here.
Citation: Lau et al., "A dataset of clinically generated visual questions and answers about
    radiology images", Scientific Data 5 (2018) 180251.
Expected tree::

    <root>/
      trainset.json testset.json    [{qid, image_name, image_organ, answer, answer_type,
                                      question_type, question, phrase_type}]
      images/<image_name>
      answer_all_list.json          not needed

Split policy: the owners' split by question is kept on every question, although all 203 test images
    also occur in training (`prepare` counts them). One image is one record and one group.
Known (read in the files): 3,064 + 451 questions, 314 of 315 images used, ten integer answers, two
    answer types `"CLOSED "`, combined and misspelt question types (kept as they are). CLOSED is not
    the same as yes/no. Modality is not given; the organ is HEAD, CHEST or ABD.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from numpy.random import Generator, default_rng

from data_modules.phantom_anatomy import ORGANS
from data_modules.phantoms import SIDES, Factors, Phantom, design, draw
from data_modules.reading import OWNER, licence_of, valid_record
from semihvision.core.card import Card
from semihvision.core.errors import InputError, RefusalLog
from semihvision.core.files import write_text_atomically
from semihvision.core.images import probe_image
from semihvision.core.record import QA, Attribute, Record
from semihvision.core.tables import json_rows, required_file

CARD = Card(
    name="vqa_rad",
    title="VQA-RAD",
    owner="Lau et al., National Library of Medicine",
    url="https://osf.io/89kps/",
    licence="CC0-1.0",
    licence_url="https://creativecommons.org/publicdomain/zero/1.0/",
    access="Open download.",
    citation="Lau et al., Scientific Data 5 (2018) 180251",
    human_text=True,
    api_clause="CC0 sets no rule for hosted models.",
    redistribution="yes",
    commercial_use="yes",
    notes="The images come from MedPix, whose own terms were not read.",
)

SPLIT_FILES = {"train": "trainset.json", "test": "testset.json"}
BODY_PARTS = {"HEAD": "head_neck", "CHEST": "thorax", "ABD": "abdomen"}
"""Owner's `image_organ` -> ours."""

_FIELDS = (
    "qid", "image_name", "image_organ", "answer", "answer_type", "question_type", "question",
    "phrase_type",
)  # fmt: skip


def read(
    root: Path, refused: RefusalLog, *, splits: Sequence[str] = tuple(SPLIT_FILES)
) -> Iterator[Record]:
    """Yields one record per image with all its questions, in the files' order.

    Blanks around questions, answers and answer types are removed and integer answers become text;
    all else is kept as the owners wrote it.

    Args:
        root: Folder in the owners' layout.
        refused: Gets every question that cannot be used, with the reason.
        splits: Those to read: `train`, `test` or both. Tables and images of the others are not
            touched, and nothing of them is refused.

    Raises:
        InputError: A table is missing or no JSON array, or a split is unknown.
    """
    questions: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    seen: set[int] = set()
    unknown = sorted(set(splits) - set(SPLIT_FILES))
    if unknown:
        raise InputError(f"split {', '.join(unknown)}: expected {' or '.join(SPLIT_FILES)}")
    for split, name in SPLIT_FILES.items():
        if split not in splits:
            continue
        for number, row in enumerate(json_rows(required_file(root, name))):
            reason = _fault(row)
            if reason:
                refused.add(f"row {number}", reason=reason, kind="invalid_row", file=name)
            elif row["qid"] in seen:
                reason = "this qid was already used; the first question is kept"
                refused.add(f"qid {row['qid']}", reason=reason, kind="repeated_id", file=name)
            else:
                seen.add(row["qid"])
                questions.setdefault(row["image_name"], []).append((split, row))
    for image_name, asked in questions.items():
        record = _record(root, image_name, asked, refused)
        if record is not None:
            yield record


def _fault(row: Any) -> str:
    """What is wrong with a row; empty if nothing is."""
    if not isinstance(row, dict):
        return f"found a JSON {type(row).__name__}, expected an object"
    missing = [name for name in _FIELDS if name not in row]
    if missing:
        return f"no {', '.join(missing)}"
    kinds: dict[str, tuple[type, ...]] = {name: (str,) for name in _FIELDS}
    kinds |= {"qid": (int,), "answer": (str, int)}
    for name, allowed in kinds.items():
        if not isinstance(row[name], allowed) or isinstance(row[name], bool):
            expected = " or ".join(kind.__name__ for kind in allowed)
            return f"{name} is a {type(row[name]).__name__}, expected {expected}"
    empty = [name for name in ("image_name", "question", "answer") if not str(row[name]).strip()]
    return f"empty {', '.join(empty)}" if empty else ""


def _record(
    root: Path, image_name: str, asked: list[tuple[str, dict[str, Any]]], refused: RefusalLog
) -> Record | None:
    try:
        image = probe_image(root, f"images/{image_name}", image_id="image")
    except InputError as error:
        for split, row in asked:
            refused.add(
                f"qid {row['qid']}", reason=str(error), kind=error.kind, file=SPLIT_FILES[split]
            )
        return None
    return valid_record(
        image_name,
        refused,
        file="images",
        record_id=f"vqa_rad/{image_name}",
        source="vqa_rad",
        group_id=image_name,
        images=(image,),
        body_part=BODY_PARTS.get(asked[0][1]["image_organ"], ""),
        qa=tuple(_qa(split, row) for split, row in asked),
        provenance=(OWNER,),
        licence=licence_of(CARD),
    )


def _qa(split: str, row: dict[str, Any]) -> QA:
    return QA(
        qa_id=str(row["qid"]),
        question=row["question"].strip(),
        answer=str(row["answer"]).strip(),
        answer_type=row["answer_type"].strip(),
        question_type=row["question_type"],
        attributes=(Attribute(name="phrase_type", value=row["phrase_type"]),),
        image_ids=("image",),
        split=split,
        provenance_id=OWNER.provenance_id,
    )


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

_TWIN_ORGANS = {"head_neck": "HEAD", "thorax": "CHEST", "abdomen": "ABD"}


def write_twin(root: Path, *, cases: int, seed: int) -> None:
    """Writes phantoms with questions in the owners' layout.

    A quarter of the phantoms are test images; none of them occurs in training (unlike the real
    set). Each phantom has five questions: organ, side, size, number, presence in one half of the
    organ. Answers are balanced for every wording in both splits, exactly if each split holds a
    multiple of 60 phantoms, so that a model that sees only the question is at chance.

    Args:
        root: Folder to write to.
        cases: Number of phantoms, at least 2.
        seed: Decides everything.
    """
    if cases < 2:
        raise InputError(f"cases {cases}: expected at least 2, one for each split")
    random = default_rng([seed, 1])
    (root / "images").mkdir(parents=True, exist_ok=True)
    test = max(1, round(cases / 4))
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
            "image_organ": _TWIN_ORGANS[ORGANS[phantom.factors.organ].body_part],
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
