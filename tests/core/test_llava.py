import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hand_written_records import ALL, eurorad_case, twice_edited, vqa_rad_image
from PIL import Image

from semihvision.core.errors import RefusalLog
from semihvision.core.llava import export_lines
from semihvision.core.llava_import import Stranger, import_records
from semihvision.core.record import Licence, Provenance, Record

ORIGIN = Provenance(provenance_id="file", producer="model", model="gpt-4")
STRANGER = Stranger(source="llava_med", licence=Licence(name="CC-BY-NC-4.0"), origin=ORIGIN)
TALK = [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "A chest."}]


def with_files(record: Record, root: Path) -> Record:
    """The record with its images written below `root` and without their hashes."""
    for one in record.images:
        path = root / one.path
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (one.width, one.height)).save(
            path, one.format if "nii" not in one.path else "png"
        )
    images = tuple(one.model_copy(update={"sha256": ""}) for one in record.images)
    return record.edited(images=images)


def read_lines(lines: list[str], root: Path) -> tuple[list[Record], RefusalLog]:
    path = root / "lines.jsonl"
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    refused = RefusalLog()
    return list(import_records(path, root=root, stranger=STRANGER, refused=refused)), refused


def read_rows(rows: list[dict[str, Any]], root: Path) -> tuple[list[Record], RefusalLog]:
    return read_lines([json.dumps(row) for row in rows], root)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    Image.new("RGB", (8, 6)).save(tmp_path / "a.jpg")
    return tmp_path


@pytest.mark.parametrize("make", ALL)
def test_questions_and_conversations_come_back(make: Callable[[], Record], root: Path) -> None:
    record = with_files(make(), root)

    found, refused = read_lines(list(export_lines([record])), root)

    assert refused.items == []
    assert [question for r in found for question in r.qa] == record.current(record.qa)
    assert [talk for r in found for talk in r.conversations] == record.current(record.conversations)
    if found:
        (back,) = found
        kept = ("record_id", "source", "split", "group_id", "modality", "body_part", "licence")
        assert all(getattr(back, name) == getattr(record, name) for name in kept)
        assert set(back.images) == set(record.images)


def test_a_record_of_questions_alone_comes_back_whole(root: Path) -> None:
    record = with_files(vqa_rad_image(), root)

    found, _ = read_lines(list(export_lines([record])), root)

    assert found == [record]


def test_the_provenance_of_a_part_comes_with_its_ancestors(root: Path) -> None:
    record = with_files(eurorad_case(), root)

    found, _ = read_lines(list(export_lines([record])), root)

    assert found[0].provenance == record.provenance


def test_exported_lines_have_the_form_of_llava_med() -> None:
    rows = [json.loads(line) for line in export_lines([vqa_rad_image()])]

    assert len(rows) == 3
    assert rows[1]["id"] == "vqa_rad/synpic1.jpg#2"
    assert rows[1]["image"] == "images/synpic1.jpg"
    assert rows[1]["answer_type"] == "OPEN"
    assert rows[1]["question_type"] == "PRES, ATTRIB"
    assert rows[1]["conversations"] == [
        {"from": "human", "value": "<image>\nQuestion 2?"},
        {"from": "gpt", "value": "3"},
    ]


def test_rejected_and_superseded_parts_are_not_exported() -> None:
    rows = [json.loads(line) for line in export_lines([twice_edited()])]

    assert [row["id"] for row in rows] == ["folder/a/1.png#q2", "folder/a/1.png#c1"]
    assert rows[0]["conversations"][0]["value"].endswith("Which organ?\nA. Heart\nB. Lung")


def test_an_edited_line_and_a_changed_image_are_refused(root: Path) -> None:
    record = with_files(vqa_rad_image(), root)
    rows = [json.loads(line) for line in export_lines([record])]
    rows[0]["conversations"][1]["value"] = "No"
    rows[2]["record"]["images"][0]["sha256"] = "0" * 64

    found, refused = read_rows(rows, root)

    assert [question.qa_id for r in found for question in r.qa] == ["2"]
    assert refused.counts() == {"edited_line": 1, "changed_image": 1}


def test_strangers_lines_with_role_misspelling_and_content(root: Path) -> None:
    turns = [{"role": "user", "content": "<image>\nWhat?"}, {"role": "assistant", "content": "X"}]
    rows = [{"id": "1", "image": "a.jpg", "conversatons": turns}]

    found, refused = read_rows(rows, root)

    assert refused.items == []
    assert [(t.role, t.text) for t in found[0].conversations[0].turns] == [
        ("human", "<image>\nWhat?"),
        ("gpt", "X"),
    ]
    assert found[0].record_id == "llava_med/1"
    assert found[0].provenance == (ORIGIN,)
    assert (found[0].images[0].width, found[0].images[0].height) == (8, 6)


def test_llava_meds_test_rows_become_questions(root: Path) -> None:
    turns = [{"from": "human", "value": "Which side?\n<image>"}, {"from": "gpt", "value": "left"}]
    row = {"id": 5, "image": "a.jpg", "answer_type": "OPEN", "question_type": "POS"}

    found, _ = read_rows([{**row, "conversations": turns}], root)

    (question,) = found[0].qa
    assert (question.qa_id, question.question, question.answer) == ("5", "Which side?", "left")
    assert (question.answer_type, question.question_type) == ("OPEN", "POS")


@pytest.mark.parametrize("value", ["", "None", "none", "nan", None, float("nan"), []])
def test_a_marker_for_no_image_means_none(value: object, root: Path) -> None:
    turns = [{"from": "human", "value": "Hello?"}, {"from": "gpt", "value": "Yes."}]

    found, refused = read_rows([{"image": value, "conversations": turns}], root)

    assert refused.items == []
    assert found[0].images == ()
    assert found[0].record_id == "llava_med/line1"


def test_several_images_keep_their_order(root: Path) -> None:
    Image.new("RGB", (3, 3)).save(root / "b.png")
    turns = [
        {"from": "human", "value": "<image>\n<image>\nCompare."},
        {"from": "gpt", "value": "."},
    ]

    found, _ = read_rows([{"image": ["b.png", "a.jpg"], "conversations": turns}], root)

    assert [one.path for one in found[0].images] == ["b.png", "a.jpg"]


def test_a_leading_gpt_turn_is_dropped_and_counted(root: Path) -> None:
    rows = [{"image": "a.jpg", "conversations": [{"from": "gpt", "value": "Hi"}, *TALK]}]

    found, refused = read_rows(rows, root)

    assert len(found[0].conversations[0].turns) == 2
    assert refused.counts() == {"leading_gpt_turn": 1}
    assert refused.items[0].item == "line 1"


def test_bad_lines_are_named_counted_and_the_rest_goes_on(root: Path) -> None:
    good = json.dumps({"image": "a.jpg", "conversations": TALK})
    (root / "torn.jpg").write_bytes((root / "a.jpg").read_bytes()[:300])
    bad = [
        '{"image": "a.jpg", "conversations": [',
        "[1, 2]",
        json.dumps({"image": "absent.jpg", "conversations": TALK}),
        json.dumps({"image": "torn.jpg", "conversations": TALK}),
        json.dumps({"image": "../a.jpg", "conversations": TALK}),
        json.dumps({"conversations": TALK}),
        json.dumps({"image": "a.jpg", "conversations": [*TALK, *TALK[1:]]}),
        json.dumps({"image": "a.jpg", "conversations": "text"}),
        json.dumps({"image": "a.jpg", "conversations": [{"from": "robot", "value": "x"}]}),
    ]

    found, refused = read_lines([good, *bad, "", good], root)

    assert len(found) == 2
    assert [(item.item, item.kind) for item in refused.items] == [
        ("line 2", "broken_json"),
        ("line 3", "broken_json"),
        ("line 4", "missing_image"),
        ("line 5", "unreadable_image"),
        ("line 6", "path_outside_root"),
        ("line 7", "placeholder_count"),
        ("line 8", "turn_order"),
        ("line 9", "invalid_row"),
        ("line 10", "invalid_row"),
    ]
    assert {item.file for item in refused.items} == {"lines.jsonl"}


def test_unknown_keys_are_noted(root: Path) -> None:
    rows = [{"image": "a.jpg", "conversations": TALK, "domain": {"ct": True}}]

    found, refused = read_rows(rows, root)

    assert len(found) == 1
    assert refused.counts() == {"unknown_key": 1}
    assert refused.items[0].reason == "keys without a place in a Record were left out: 1"


def test_a_foreign_key_in_our_own_part_is_not_quoted(root: Path) -> None:
    row = json.loads(next(export_lines([with_files(vqa_rad_image(), root)])))
    row["record"]["qa"][0]["Jane Doe"] = row["record"]["Jane Doe"] = "x"

    found, refused = read_rows([row], root)

    assert found == []
    assert refused.items[0].reason == "qa.0: a key that is not known; a key that is not known"


def test_a_json_array_is_read_like_lines(root: Path) -> None:
    path = root / "all.json"
    path.write_text(json.dumps([{"id": "x", "image": "a.jpg", "conversations": TALK}, 3]))
    refused = RefusalLog()

    found = list(import_records(path, root=root, stranger=STRANGER, refused=refused))

    assert [record.record_id for record in found] == ["llava_med/x"]
    assert refused.counts() == {"broken_json": 1}
