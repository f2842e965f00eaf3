import json
from pathlib import Path
from typing import Any

import pytest

from data_modules import pmc_instruct
from semihvision.core.errors import InputError, RefusalLog
from semihvision.core.record import Record

ROW: dict[str, Any] = {
    "output": "###Answer: OPTION D IS CORRECT.",
    "source": "medqa_train",
    "instruction": "You're a doctor.",
    "input": "###Question: Which?\n###Options:\nA. a\n",
    "sample_id": 0,
}


def write(root: Path, *rows: Any) -> Path:
    (root / "release.json").write_text(json.dumps(rows))
    return root


def read(root: Path) -> tuple[list[Record], RefusalLog]:
    refused = RefusalLog()
    return list(pmc_instruct.read(root, refused)), refused


def test_a_row_becomes_a_conversation_without_an_image(tmp_path: Path) -> None:
    (record,), refused = read(write(tmp_path, ROW))

    assert refused.items == []
    assert record.record_id == "pmc_instruct/row0"
    assert [turn.text for turn in record.conversations[0].turns] == [
        "You're a doctor.\n\n###Question: Which?\n###Options:\nA. a",
        "###Answer: OPTION D IS CORRECT.",
    ]
    assert record.images == ()
    assert record.labels[0].value == "medqa_train"
    assert record.provenance[0].producer == "human"


def test_wordings_of_a_question_are_one_group_and_rationales_a_models(tmp_path: Path) -> None:
    other = {**ROW, "instruction": "Explain.", "output": "###Rationale: Because."}
    third = {**ROW, "input": "Another question"}

    records, _ = read(write(tmp_path, ROW, other, third))

    groups = [record.group_id for record in records]
    assert groups[0] == groups[1] != groups[2]
    assert [record.provenance[0].producer for record in records] == ["human", "model", "human"]


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"output": ""}, "invalid_row"),
        ({"output": 1.5}, "invalid_row"),
        ({"instruction": None}, "invalid_row"),
        ({"input": "see <image>"}, "invalid_record"),
    ],
)
def test_a_bad_row_is_refused_and_never_quoted(
    changes: dict[str, Any], kind: str, tmp_path: Path
) -> None:
    records, refused = read(write(tmp_path, {**ROW, **changes}, ROW, ROW))

    assert [record.record_id for record in records] == ["pmc_instruct/row1"]
    assert [(item.item, item.kind) for item in refused.items] == [
        ("row 0", kind),
        ("row 2", "repeated_id"),
    ]
    assert "doctor" not in refused.items[0].reason


def test_no_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no file release\.json"):
        read(tmp_path)


def test_the_twin_is_read_whole_and_answers_are_right(tmp_path: Path) -> None:
    pmc_instruct.write_twin(tmp_path, cases=9, seed=1)

    records, refused = read(tmp_path)

    assert refused.items == []
    assert len(records) == 9
    assert len({record.group_id for record in records}) == 5
    for record in records:
        asked, told = (turn.text for turn in record.conversations[0].turns)
        letter = told.split("OPTION ")[1][0]
        option = next(line for line in asked.splitlines() if line.startswith(f"{letter}. "))
        assert f"in the {option[3:]}." in asked
