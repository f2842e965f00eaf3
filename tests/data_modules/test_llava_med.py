import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from data_modules import llava_med
from semihvision.core.errors import InputError, RefusalLog
from semihvision.core.record import Record

ROW: dict[str, Any] = {
    "id": "27002440_F0001_oncomed-06",
    "image": "27002440_F0001_oncomed-06.jpg",
    "domain": {"chest_xray": False, "mri": True, "histology": False, "gross": True},
    "conversations": [
        {"from": "human", "value": "What is it?\n<image>"},
        {"from": "gpt", "value": "An MRI."},
    ],
}


def write(root: Path, *rows: Any, file: str = "instruct/llava_med_instruct_10k.json") -> Path:
    (root / "images").mkdir(exist_ok=True)
    Image.new("RGB", (8, 8)).save(root / "images" / ROW["image"])
    (root / file).parent.mkdir(exist_ok=True)
    (root / file).write_text(json.dumps(rows))
    return root


def read(root: Path) -> tuple[list[Record], RefusalLog]:
    refused = RefusalLog()
    return list(llava_med.read(root, refused)), refused


def test_a_row_becomes_a_record(tmp_path: Path) -> None:
    (record,), refused = read(write(tmp_path, ROW))

    assert refused.items == []
    assert record.record_id == "llava_med/instruct_10k/27002440_F0001_oncomed-06"
    assert (record.group_id, record.modality) == ("27002440", "mr")
    (talk,) = record.conversations
    assert [(turn.role, turn.text) for turn in talk.turns] == [
        ("human", "What is it?\n<image>"),
        ("gpt", "An MRI."),
    ]
    assert talk.image_ids == ("figure",)
    assert record.provenance[0].producer == "model"


def test_the_misspelt_key_and_a_file_in_the_root_are_taken(tmp_path: Path) -> None:
    row = {"conversatons" if key == "conversations" else key: ROW[key] for key in ROW}
    (record,), refused = read(write(tmp_path, row, file="llava_med_alignment_500k.json"))

    assert refused.items == []
    assert len(record.conversations[0].turns) == 2


def test_the_same_figure_of_two_files_is_one_group(tmp_path: Path) -> None:
    write(tmp_path, ROW)
    write(tmp_path, ROW, file="instruct/llava_med_instruct_60k.json")

    records, refused = read(tmp_path)

    assert refused.items == []
    assert len({record.record_id for record in records}) == 2
    assert len({record.group_id for record in records}) == 1


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"image": "gone.jpg"}, "missing_image"),
        ({"image": "../x.jpg"}, "path_outside_root"),
        ({"image": None}, "invalid_row"),
        ({"conversations": [{"from": "human", "value": "<image>"}]}, "turn_order"),
        ({"conversations": ROW["conversations"] * 2}, "placeholder_count"),
        ({"conversations": [{"from": "human", "value": "<image>"},
                            {"from": "gpt", "value": "x"}]}, "invalid_row"),
        ({"id": 7.5}, "invalid_row"),
    ],
)  # fmt: skip
def test_a_bad_row_is_refused_and_the_rest_goes_on(
    changes: dict[str, Any], kind: str, tmp_path: Path
) -> None:
    records, refused = read(write(tmp_path, {**ROW, **changes}, {**ROW, "id": 8}))

    assert [record.record_id for record in records] == ["llava_med/instruct_10k/8"]
    assert [(item.item, item.kind) for item in refused.items] == [("row 0", kind)]


def test_none_of_the_files_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text("[]")
    with pytest.raises(InputError, match=r"none of llava_med_alignment_500k\.json"):
        read(tmp_path)


def test_the_twin_is_read_whole_and_says_the_truth(tmp_path: Path) -> None:
    llava_med.write_twin(tmp_path, cases=12, seed=5)

    records, refused = read(tmp_path)

    assert refused.items == []
    assert len(records) == 24
    texts: dict[str, str] = {}
    for record in records:
        said = " ".join(turn.text for turn in record.conversations[0].turns if turn.role == "gpt")
        texts[record.group_id] = texts.get(record.group_id, "") + said
    assert len(texts) == 12
    for said in texts.values():
        assert not ("lies in the left" in said and "lesions in the right" in said)
    assert {record.modality for record in records} > {""}
