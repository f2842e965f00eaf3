import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from data_modules import vqa_rad
from semihvision.core.errors import InputError, RefusalLog
from semihvision.core.record import Record

ROW = {
    "qid": 1,
    "image_name": "a.jpg",
    "image_organ": "HEAD",
    "answer": "Yes",
    "answer_type": "CLOSED",
    "question_type": "PRES",
    "question": "Is it?",
    "phrase_type": "freeform",
}
CHANCE = (1 / 5 + 1 / 2 + 1 / 2 + 1 / 3 + 1 / 2) / 5
"""Organ, side, size, number, presence."""


def write(root: Path, train: list[Any], test: list[Any]) -> Path:
    (root / "images").mkdir(exist_ok=True)
    for name in ("a.jpg", "b.jpg"):
        Image.new("RGB", (8, 8)).save(root / "images" / name)
    (root / "trainset.json").write_text(json.dumps(train))
    (root / "testset.json").write_text(json.dumps(test))
    return root


def read(root: Path) -> tuple[list[Record], RefusalLog]:
    refused = RefusalLog()
    return list(vqa_rad.read(root, refused)), refused


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("vqa_rad")
    vqa_rad.write_twin(root, cases=240, seed=0)
    return root


def test_the_real_set_is_taken_whole(vqa_rad_root: Path) -> None:
    records, refused = read(vqa_rad_root)
    questions = [(question, record) for record in records for question in record.qa]

    assert refused.items == []
    assert len(records) == 314
    assert len({image.path for record in records for image in record.images}) == 314
    assert Counter((q.split, q.answer_type) for q, _ in questions) == {
        ("train", "OPEN"): 1241,
        ("train", "CLOSED"): 1823,
        ("test", "OPEN"): 179,
        ("test", "CLOSED"): 272,
    }
    assert sorted(int(q.qa_id) for q, _ in questions) == list(range(1, 3516))
    assert len([r for r in records if {q.split for q in r.qa} == {"train", "test"}]) == 203
    first = next(q for q, _ in questions if q.qa_id == "1")
    assert (first.question, first.answer, first.question_type) == (
        "Are regions of the brain infarcted?",
        "Yes",
        "PRES",
    )
    assert {attribute.value for q, _ in questions for attribute in q.attributes} == {
        "freeform",
        "para",
        "frame",
    }


def test_one_image_is_one_record_with_its_questions_of_both_splits(tmp_path: Path) -> None:
    train = [ROW, {**ROW, "qid": 2, "image_name": "b.jpg", "image_organ": "ABD"}]
    test = [{**ROW, "qid": 3, "answer": 3, "answer_type": "CLOSED ", "question": " How many? "}]

    records, refused = read(write(tmp_path, train, test))

    assert refused.items == []
    assert [(r.record_id, r.group_id, r.body_part) for r in records] == [
        ("vqa_rad/a.jpg", "a.jpg", "head_neck"),
        ("vqa_rad/b.jpg", "b.jpg", "abdomen"),
    ]
    last = records[0].qa[1]
    assert (last.split, last.question, last.answer, last.answer_type) == (
        "test",
        "How many?",
        "3",
        "CLOSED",
    )


def test_only_the_asked_splits_are_read_and_refused(tmp_path: Path) -> None:
    bad = [{**ROW, "qid": 2, "image_name": "absent.jpg"}, {**ROW, "qid": 1}, "text"]
    root = write(tmp_path, [ROW, *bad], [{**ROW, "qid": 9}, "text"])
    refused = RefusalLog()

    (record,) = vqa_rad.read(root, refused, splits=("test",))

    assert [(question.qa_id, question.split) for question in record.qa] == [("9", "test")]
    assert [(item.item, item.file) for item in refused.items] == [("row 1", "testset.json")]
    (root / "trainset.json").unlink()
    assert len(list(vqa_rad.read(root, RefusalLog(), splits=("test",)))) == 1
    with pytest.raises(InputError, match="split val: expected train or test"):
        list(vqa_rad.read(root, RefusalLog(), splits=("val", "test")))


def test_bad_rows_are_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    train = [
        ROW,
        "text",
        {name: value for name, value in ROW.items() if name != "answer"},
        {**ROW, "qid": "4"},
        {**ROW, "qid": 5, "question": " "},
        {**ROW, "qid": 6, "image_name": "absent.jpg"},
        {**ROW, "qid": 7, "image_name": "../../a.jpg"},
        {**ROW, "qid": 8, "answer": True},
    ]
    test = [{**ROW, "answer": "No"}, {**ROW, "qid": 9}]

    records, refused = read(write(tmp_path, train, test))

    assert [question.qa_id for record in records for question in record.qa] == ["1", "9"]
    assert [(item.file, item.item, item.kind) for item in refused.items] == [
        ("trainset.json", "row 1", "invalid_row"),
        ("trainset.json", "row 2", "invalid_row"),
        ("trainset.json", "row 3", "invalid_row"),
        ("trainset.json", "row 4", "invalid_row"),
        ("trainset.json", "row 7", "invalid_row"),
        ("testset.json", "qid 1", "repeated_id"),
        ("trainset.json", "qid 6", "missing_image"),
        ("trainset.json", "qid 7", "path_outside_root"),
    ]


def test_an_unreadable_image_refuses_each_of_its_questions(tmp_path: Path) -> None:
    root = write(tmp_path, [ROW, {**ROW, "qid": 2}], [{**ROW, "qid": 3, "image_name": "b.jpg"}])
    (root / "images" / "a.jpg").write_bytes((root / "images" / "a.jpg").read_bytes()[:100])

    records, refused = read(root)

    assert len(records) == 1
    assert refused.counts() == {"unreadable_image": 2}


def test_an_unusable_root_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no file trainset"):
        read(tmp_path)
    (write(tmp_path, [], []) / "testset.json").write_text("[{")
    with pytest.raises(InputError, match=r"testset.json: not JSON: .*line 1"):
        read(tmp_path)


def test_the_twin_is_read_whole_and_its_test_images_are_unseen(twin: Path) -> None:
    records, refused = read(twin)

    assert refused.items == []
    assert len(records) == 240
    splits = [{question.split for question in record.qa} for record in records]
    assert splits.count({"train"}) == 180
    assert splits.count({"test"}) == 60
    assert all(len(record.qa) == 5 for record in records)
    hashes = {record.images[0].sha256 for record in records}
    assert len(hashes) == 240


def rows_of(root: Path, split: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((root / vqa_rad.SPLIT_FILES[split]).read_text())
    return rows


def test_the_twin_has_the_owners_layout(twin: Path, vqa_rad_root: Path) -> None:
    for split in ("train", "test"):
        real, drawn = rows_of(vqa_rad_root, split), rows_of(twin, split)
        assert {tuple(row) for row in real} == {(*_sorted_like(real[0], drawn[0]),)}
        for field in ("answer_type", "question_type", "image_organ", "phrase_type"):
            assert {row[field] for row in drawn} <= {row[field] for row in real}
    assert {type(row["answer"]) for row in rows_of(twin, "train")} == {str, int}
    ids = [row["qid"] for split in ("train", "test") for row in rows_of(twin, split)]
    assert sorted(ids) == list(range(1, 1201))


def _sorted_like(order: dict[str, Any], row: dict[str, Any]) -> list[str]:
    assert set(order) == set(row)
    return list(order)


@pytest.mark.parametrize("split", ["train", "test"])
def test_every_wording_has_every_answer_equally_often(twin: Path, split: str) -> None:
    answers: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows_of(twin, split):
        answers[row["question"]][str(row["answer"])] += 1

    assert len(answers) == 12 + 3 * 10
    for question, found in answers.items():
        assert len(set(found.values())) == 1, (question, found)
        assert len(found) in (2, 3, 5)


def test_a_model_that_sees_only_the_question_is_at_chance(twin: Path) -> None:
    train, test = rows_of(twin, "train"), rows_of(twin, "test")
    words = TfidfVectorizer(ngram_range=(1, 2)).fit(row["question"] for row in train)
    model = LogisticRegression(max_iter=200).fit(
        words.transform(row["question"] for row in train), [str(row["answer"]) for row in train]
    )

    guesses = model.predict(words.transform(row["question"] for row in test))

    right = np.mean([str(row["answer"]) == guess for row, guess in zip(test, guesses, strict=True)])
    assert right == pytest.approx(CHANCE)


@pytest.mark.parametrize("cases", [30, 77, 100])
def test_other_sizes_are_balanced_nearly(cases: int, tmp_path: Path) -> None:
    vqa_rad.write_twin(tmp_path, cases=cases, seed=1)
    train, test = rows_of(tmp_path, "train"), rows_of(tmp_path, "test")
    kinds: dict[str, Counter[str]] = defaultdict(Counter)
    for row in train:
        kinds[row["question_type"]][str(row["answer"])] += 1

    for kind, found in kinds.items():
        slack = 3 if kind == "PRES" else 1
        assert max(found.values()) - min(found.values()) <= slack, (kind, found)
    assert len(test) == 5 * round(cases / 4)


def test_the_twins_answers_describe_the_images(twin: Path) -> None:
    """The side, measured in the JPEG files: inside the organ the lesions are the brightest."""
    measured = []
    for row in rows_of(twin, "test"):
        if row["question_type"] != "POS" or row["image_organ"] == "ABD":
            continue
        with Image.open(twin / "images" / row["image_name"]) as opened:
            inner = np.asarray(opened.convert("L"), dtype=float)[20:98, 26:102]
        columns = np.where(inner > 0.9 * inner.max())[1]
        measured.append((row["answer"], "right" if columns.mean() < 38 else "left"))

    assert len(measured) == 36
    assert all(stated == found for stated, found in measured)


def test_the_same_seed_writes_the_same_twin(tmp_path: Path) -> None:
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        vqa_rad.write_twin(tmp_path / name, cases=8, seed=seed)

    def content(name: str) -> dict[str, bytes]:
        root = tmp_path / name
        return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}

    assert content("a") == content("b")
    assert content("a") != content("c")


def test_a_twin_of_one_case_has_no_two_splits(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected at least 2"):
        vqa_rad.write_twin(tmp_path, cases=1, seed=0)
