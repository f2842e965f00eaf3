import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from data_modules import slake
from data_modules.examples import examples_of
from semihvision.cli.main import main
from semihvision.core.errors import InputError, RefusalLog
from semihvision.core.parquet import read_records
from semihvision.core.record import Record

ROW = {
    "img_id": 1, "img_name": "xmlab1/source.jpg", "question": "Is it?", "answer": "Yes",
    "q_lang": "en", "location": "Lung", "modality": "CT", "answer_type": "CLOSED",
    "base_type": "vqa", "content_type": "Organ", "triple": ["vhead", "_", "_"], "qid": 1,
}  # fmt: skip


def write(root: Path, rows: list[Any], *, test: list[Any] | None = None) -> Path:
    for name, found in (("train", rows), ("validate", []), ("test", test or [])):
        (root / f"{name}.json").write_text(json.dumps(found, ensure_ascii=False), encoding="utf-8")
    return root


def read(root: Path, **options: Any) -> tuple[list[Record], RefusalLog]:
    refused = RefusalLog()
    return list(slake.read(root, refused, **options)), refused


def with_image(root: Path) -> None:
    (root / "imgs/xmlab1").mkdir(parents=True)
    Image.new("L", (9, 8)).save(root / "imgs/xmlab1/source.jpg")


def test_the_real_set_is_taken_whole(slake_root: Path) -> None:
    """LLaVA-Med's notebook gives the same images, questions, open and closed (English)."""
    records, refused = read(slake_root)
    by_language = Counter()
    by_split = Counter()
    images: dict[tuple[str, str], set[str]] = {}
    for record in records:
        for qa in record.qa:
            language = next(one.value for one in qa.attributes if one.name == "q_lang")
            by_language[language, qa.split, qa.answer_type] += 1
            by_split[qa.split] += 1
            images.setdefault((language, qa.split), set()).add(record.group_id)
            images.setdefault(("both", qa.split), set()).add(record.group_id)

    assert refused.items == []
    assert len(records) == 642
    assert by_split == {"train": 9835, "validation": 2099, "test": 2094}
    english = {key[1:]: number for key, number in by_language.items() if key[0] == "en"}
    assert english == {
        ("train", "OPEN"): 2976, ("train", "CLOSED"): 1943,
        ("validation", "OPEN"): 631, ("validation", "CLOSED"): 422,
        ("test", "OPEN"): 645, ("test", "CLOSED"): 416,
    }  # fmt: skip
    for language, numbers in (("en", (450, 96, 96)), ("both", (586, 174, 180))):
        for split, number in zip(("train", "validation", "test"), numbers, strict=True):
            assert len(images[language, split]) == number


def test_prepare_of_the_real_text(
    slake_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "slake.parquet"
    assert main(["prepare", "slake", "--root", str(slake_root), "--out", str(out), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["questions"]["by_split"]["train"] == {"OPEN": 5954, "CLOSED": 3881}
    assert found["groups_by_split"] == {"train": 586, "validation": 174, "test": 180}
    assert found["refused"]["total"] == 0
    unanswered = [qa for record in read_records(out) for qa in record.qa if not qa.answer]
    assert [qa.qa_id for qa in unanswered] == ["1622"]


def test_languages_can_be_chosen(slake_root: Path) -> None:
    records, refused = read(slake_root, splits=["test"], languages=["en"])
    assert (sum(len(record.qa) for record in records), refused.items) == (1061, [])


def test_an_image_and_its_questions_are_one_record(tmp_path: Path) -> None:
    with_image(tmp_path)
    chinese = {**ROW, "qid": 2, "q_lang": "zh", "answer": "有"}
    (record,), refused = read(write(tmp_path, [ROW], test=[chinese]))

    assert refused.items == []
    assert (record.modality, record.body_part, record.images[0].width) == ("ct", "thorax", 9)
    assert [(qa.qa_id, qa.split, qa.answer) for qa in record.qa] == [
        ("1", "train", "Yes"),
        ("2", "test", "有"),
    ]


def test_without_its_folder_of_images_only_text_is_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (record,), _ = read(write(tmp_path, [ROW]))
    assert (record.images, record.qa[0].image_ids) == ((), ())
    assert "without images" in caplog.text


def test_a_question_without_an_answer_is_kept_but_not_trained_on(tmp_path: Path) -> None:
    (record,), _ = read(write(tmp_path, [ROW, {**ROW, "qid": 2, "answer": ""}]))
    assert len(record.qa) == 2
    for use in ("qa", "dialogues"):
        (example,) = examples_of([record], uses=[use])
        assert [turn.text for turn in example.turns] == ["Is it?", "Yes"]


def test_a_missing_image_costs_its_questions(tmp_path: Path) -> None:
    with_image(tmp_path)
    gone = {**ROW, "qid": 2, "img_name": "xmlab2/source.jpg"}
    records, refused = read(write(tmp_path, [ROW, gone]))
    assert len(records) == 1
    assert [(one.item, one.kind) for one in refused.items] == [("row 1", "missing_image")]


def test_unknown_options_and_missing_tables_are_errors(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no file train\.json"):
        read(tmp_path)
    with pytest.raises(InputError, match="language de: expected en, zh"):
        read(tmp_path, languages=["de"])
    with pytest.raises(InputError, match="split val: expected train, validation, test"):
        read(tmp_path, splits=["val"])


def test_the_twin_is_taken_whole(tmp_path: Path) -> None:
    slake.write_twin(tmp_path, cases=10, seed=0)
    records, refused = read(tmp_path)
    assert refused.items == []
    assert Counter(qa.split for record in records for qa in record.qa) == {
        "train": 36, "validation": 12, "test": 12,
    }  # fmt: skip
