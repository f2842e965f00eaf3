import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from data_modules import path_vqa
from semihvision.cli.main import main
from semihvision.core.errors import InputError, RefusalLog
from semihvision.core.record import Record

ENTRY = {
    "img_id": "test_0001",
    "labelf": {"pvqa": [{"yes": 1}, {"in the canals ": 1}]},
    "sentf": {"pvqa": ["is it?", "where?"]},
}


def write(root: Path, test: list[Any]) -> Path:
    for name, rows in (("train", []), ("val", []), ("test", test)):
        (root / f"pvqa_{name}.json").write_text(json.dumps(rows))
    return root


def read(root: Path, **options: Any) -> tuple[list[Record], RefusalLog]:
    refused = RefusalLog()
    return list(path_vqa.read(root, refused, **options)), refused


def test_prepare_of_the_real_text_gives_the_published_counts(
    path_vqa_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """LLaVA-Med's notebook gives the same images, questions, open and closed."""
    out = str(tmp_path / "path_vqa.parquet")
    assert main(["prepare", "path_vqa", "--root", str(path_vqa_root), "--out", out, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["questions"]["by_split"] == {
        "train": {"OPEN": 9949, "CLOSED": 9806},
        "validation": {"OPEN": 3144, "CLOSED": 3135},
        "test": {"OPEN": 3370, "CLOSED": 3391},
    }
    assert found["groups_by_split"] == {"train": 2599, "validation": 832, "test": 858}
    assert (found["records"], found["refused"]["total"]) == (4289, 0)


def test_questions_pair_with_answers_by_place(tmp_path: Path) -> None:
    (record,), refused = read(write(tmp_path, [ENTRY, {**ENTRY, "img_id": "x", "labelf":
        {"pvqa": []}, "sentf": {"pvqa": []}}]))  # fmt: skip
    assert refused.items == []
    assert (record.record_id, record.split) == ("path_vqa/test_0001", "test")
    assert [(qa.qa_id, qa.question, qa.answer, qa.answer_type) for qa in record.qa] == [
        ("test_0001/0", "is it?", "yes", "CLOSED"),
        ("test_0001/1", "where?", "in the canals", "OPEN"),
    ]


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"img_id": 5}, "invalid_row"),
        ({"sentf": {"pvqa": ["SECRET"]}}, "invalid_row"),
        ({"labelf": []}, "invalid_row"),
        ({"labelf": {"pvqa": [{"yes": 1, "SECRET": 1}, {"no": 1}]}}, "answer"),
    ],
)
def test_broken_entries_are_refused_and_not_quoted(
    tmp_path: Path, change: dict[str, Any], kind: str
) -> None:
    records, refused = read(write(tmp_path, [ENTRY, {**ENTRY, "img_id": "test_2", **change}]))
    assert len(records) == 1
    assert [(one.item, one.kind) for one in refused.items] == [("row 1", kind)]
    assert "SECRET" not in refused.items[0].reason


def test_unknown_splits_and_missing_tables_are_errors(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no file pvqa_train\.json"):
        read(tmp_path)
    with pytest.raises(InputError, match="split validation: expected train, val, test"):
        read(tmp_path, splits=["validation"])


def test_the_twin_is_taken_whole(tmp_path: Path) -> None:
    path_vqa.write_twin(tmp_path, cases=10, seed=0)
    records, refused = read(tmp_path)
    assert refused.items == []
    assert Counter(record.split for record in records) == {"train": 6, "validation": 2, "test": 2}
    assert all(record.images for record in records)
