import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from data_modules import pubmedvision
from semihvision.core.errors import InputError, RefusalLog
from semihvision.core.record import MODALITIES, Record

ROW: dict[str, Any] = {
    "image": ["images/pmc_7_0.jpg", "images/pmc_7_1.jpg"],
    "id": "Alignment_VQA_7",
    "conversations": [
        {"from": "human", "value": "What do they show?"},
        {"from": "gpt", "value": "Two slices."},
    ],
    "body_part": "Lung",
    "modality": "Computed Tomography",
}


def write(root: Path, *rows: Any, file: str = "PubMedVision_Alignment_VQA.json") -> Path:
    (root / "images").mkdir(exist_ok=True)
    for path in ROW["image"]:
        Image.new("RGB", (8, 8)).save(root / path)
    (root / file).write_text(json.dumps(rows))
    return root


def read(root: Path) -> tuple[list[Record], RefusalLog]:
    refused = RefusalLog()
    return list(pubmedvision.read(root, refused)), refused


def test_a_row_shows_its_images_first(tmp_path: Path) -> None:
    (record,), refused = read(write(tmp_path, ROW))

    assert refused.items == []
    assert (record.record_id, record.group_id) == ("pubmedvision/Alignment_VQA_7", "pmc_7")
    assert record.conversations[0].turns[0].text == "<image>\n<image>\nWhat do they show?"
    assert record.conversations[0].image_ids == ("image 1", "image 2")
    assert record.modality == "ct"
    assert [(label.name, label.value, label.system) for label in record.labels] == [
        ("modality", "Computed Tomography", "HuatuoGPT-Vision-7B"),
        ("body_part", "Lung", "HuatuoGPT-Vision-7B"),
    ]


def test_an_unknown_modality_stays_a_label(tmp_path: Path) -> None:
    (record,), _ = read(write(tmp_path, {**ROW, "modality": "Kymography"}))

    assert (record.modality, record.labels[0].value) == ("", "Kymography")
    assert set(pubmedvision.MODALITIES_OF.values()) <= set(MODALITIES)


def test_both_files_share_the_group_and_no_id(tmp_path: Path) -> None:
    write(tmp_path, ROW)
    other = {**ROW, "id": "InstructionTuning_VQA_7"}
    write(tmp_path, other, ROW, file="PubMedVision_InstructionTuning_VQA.json")

    records, refused = read(tmp_path)

    assert {record.group_id for record in records} == {"pmc_7"}
    assert [(item.item, item.kind, item.file) for item in refused.items] == [
        ("row 1", "repeated_id", "PubMedVision_InstructionTuning_VQA.json")
    ]


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"image": ["images/gone.jpg"]}, "missing_image"),
        ({"image": ["images/pmc_7_0.jpg", "../x.jpg"]}, "path_outside_root"),
        ({"image": "images/pmc_7_0.jpg"}, "invalid_row"),
        ({"id": ""}, "invalid_row"),
        ({"body_part": ["Lung"]}, "invalid_row"),
        ({"conversations": []}, "turn_order"),
    ],
)
def test_a_bad_row_is_refused_and_the_rest_goes_on(
    changes: dict[str, Any], kind: str, tmp_path: Path
) -> None:
    records, refused = read(write(tmp_path, {**ROW, **changes}, {**ROW, "id": "b"}))

    assert [record.record_id for record in records] == ["pubmedvision/b"]
    assert [(item.item, item.kind) for item in refused.items] == [("row 0", kind)]


def test_neither_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no file PubMedVision_Alignment_VQA\.json or"):
        read(tmp_path)


def test_the_twin_is_read_whole(tmp_path: Path) -> None:
    pubmedvision.write_twin(tmp_path, cases=8, seed=1)

    records, refused = read(tmp_path)

    assert refused.items == []
    assert len(records) == 16
    assert len({record.group_id for record in records}) == 8
    assert {len(record.images) for record in records} == {1, 2}
    assert all(record.modality for record in records)
