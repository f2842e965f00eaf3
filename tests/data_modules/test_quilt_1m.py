import csv
from pathlib import Path

import pytest
from PIL import Image

from data_modules import quilt_1m
from data_modules.quilt_1m import COLUMNS
from semihvision.core.errors import InputError, RefusalLog
from semihvision.core.record import Record

ROW = {
    "": "7",
    "caption": "Duct with calcification.",
    "image_path": "aBc_d-1_image_0a.jpg",
    "subset": "quilt",
    "split": "train",
    "pathology": "['Breast', ' Soft tissue ', '']",
    "roi_text": "['here is a duct', 'and calcium']",
    "noisy_text": "uh",
    "corrected_text": "Here is a duct.",
    "med_umls_ids": "[[{'entity': 'duct', 'concept_id': 'C1', 'confidence': 0.9}], "
    "[{'entity': 'duct', 'concept_id': 'C1', 'confidence': 0.8}]]",
    "magnification": "1.0",
    "height": "720",
    "width": "1280",
}


def write(root: Path, *rows: dict[str, str], folder: str = "quilt_1m") -> Path:
    (root / folder).mkdir(exist_ok=True)
    Image.new("RGB", (8, 8)).save(root / folder / ROW["image_path"])
    with (root / "quilt_1M_lookup.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return root


def read(root: Path) -> tuple[list[Record], RefusalLog]:
    refused = RefusalLog()
    return list(quilt_1m.read(root, refused)), refused


@pytest.mark.parametrize("folder", ["quilt_1m", "images", ""])
def test_a_row_becomes_a_record(folder: str, tmp_path: Path) -> None:
    (record,), refused = read(write(tmp_path, ROW, folder=folder))

    assert refused.items == []
    assert (record.record_id, record.group_id, record.split) == ("quilt_1m/7", "aBc_d-1", "train")
    assert (record.modality, record.images[0].width) == ("pathology", 8)
    assert [(text.kind, text.text) for text in record.texts] == [
        ("caption", "Duct with calcification."),
        ("context", "here is a duct"),
        ("context", "and calcium"),
        ("context", "Here is a duct."),
    ]
    assert [(label.name, label.value) for label in record.labels] == [
        ("pathology", "Breast"),
        ("pathology", "Soft tissue"),
        ("umls_concept", "C1 duct"),
        ("subset", "quilt"),
        ("magnification", "1.0"),
    ]


def test_later_columns_are_read_where_they_are(tmp_path: Path) -> None:
    row = {**ROW, "not_histology": "1", "single_wsi": "0"}
    (record,), _ = read(write(tmp_path, row))

    assert record.modality == ""
    assert [label.name for label in record.labels][-1] == "not_histology"


@pytest.mark.parametrize(
    "changes",
    [
        {"pathology": "open('/etc/passwd').read()"},
        {"med_umls_ids": "[[1]]"},
        {"med_umls_ids": "7"},
        {"roi_text": "['a"},
        {"split": "holdout"},
        {"caption": "nan", "roi_text": "", "corrected_text": "NaN"},
    ],
)
def test_a_bad_cell_is_refused_and_never_quoted(changes: dict[str, str], tmp_path: Path) -> None:
    records, refused = read(write(tmp_path, {**ROW, **changes}, {**ROW, "": "8"}))

    assert [record.record_id for record in records] == ["quilt_1m/8"]
    assert [(item.item, item.kind) for item in refused.items] == [("line 2", "invalid_row")]
    assert not any(cell in refused.items[0].reason for cell in changes.values() if len(cell) > 3)


def test_images_that_are_no_frames_are_groups_of_their_own(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(write(tmp_path, ROW) / "quilt_1m" / "pm1.png")
    (record,), _ = read(write(tmp_path, {**ROW, "image_path": "pm1.png", "subset": "pubmed"}))

    assert record.group_id == "pm1.png"


def test_a_missing_column_or_table_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no file quilt_1M_lookup\.csv"):
        read(tmp_path)
    (tmp_path / "quilt_1M_lookup.csv").write_text(",caption,image_path\n")
    with pytest.raises(InputError, match="no column subset, split"):
        read(tmp_path)


def test_the_twin_is_read_whole_and_videos_keep_to_one_split(tmp_path: Path) -> None:
    quilt_1m.write_twin(tmp_path, cases=44, seed=2)

    records, refused = read(tmp_path)

    assert refused.items == []
    assert len(records) == 44
    splits: dict[str, set[str]] = {}
    for record in records:
        splits.setdefault(record.group_id, set()).add(record.split)
        said = {" ".join(text.text.split()[-3:]).strip(".") for text in record.texts[:2]}
        assert len(said) == 1
    assert {len(found) for found in splits.values()} == {1}
    assert {record.split for record in records} == {"train", "validation"}
    assert len(splits) < 44
    assert set(COLUMNS) <= set(
        (tmp_path / "quilt_1M_lookup.csv").read_text().split("\n")[0].split(",")
    )
