import csv
import gzip
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_modules import mimic_cxr, mimic_tables
from data_modules.mimic_reports import report_sections
from semihvision.core.errors import InputError, RefusalLog
from semihvision.core.record import Record

REPORT = """                                 FINAL REPORT
 EXAMINATION:  CHEST (PA AND LAT)
 
 INDICATION:  ___ year old woman with cough.
 
 COMPARISON:  ___.
 
 FINDINGS: 
 
 Heart size is normal.  The lungs
 are clear.
 
 IMPRESSION: 
 
 No acute process.
"""  # noqa: W291, W293 -- the owner's form has these blanks
STUDY = "files/p10/p10000001/s50000001"
COLUMNS = mimic_tables.METADATA_COLUMNS


def table(path: Path, columns: tuple[str, ...], *rows: dict[str, str]) -> None:
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)


def image_row(dicom_id: str = "a-1", study: str = "50000001", **more: str) -> dict[str, str]:
    return {
        "dicom_id": dicom_id,
        "subject_id": "10000001",
        "study_id": study,
        "ViewPosition": "PA",
        **more,
    }


def write(root: Path, *rows: dict[str, str], report: str | None = REPORT) -> Path:
    table(root / "mimic-cxr-2.0.0-metadata.csv", COLUMNS, *rows)
    (root / STUDY).mkdir(parents=True)
    for name in ("a-1", "a-2"):
        Image.new("L", (8, 8)).save(root / STUDY / f"{name}.jpg")
    if report is not None:
        (root / f"{STUDY}.txt").write_text(report, encoding="utf-8")
    return root


def write_splits(root: Path, *splits: tuple[str, str]) -> Path:
    columns = ("dicom_id", "split")
    rows = [dict(zip(columns, one, strict=True)) for one in splits]
    table(root / "mimic-cxr-2.0.0-split.csv", columns, *rows)
    return root


def read(root: Path) -> tuple[list[Record], RefusalLog]:
    refused = RefusalLog()
    return list(mimic_cxr.read(root, refused)), refused


def texts(record: Record) -> dict[str, str]:
    return {text.kind: text.text for text in record.texts}


def test_a_study_becomes_a_record(tmp_path: Path) -> None:
    root = write(tmp_path, image_row(), image_row("a-2", ViewPosition="LATERAL"))
    split = {"dicom_id": "a-1", "study_id": "1", "subject_id": "1", "split": "validate"}
    table(root / "mimic-cxr-2.0.0-split.csv", tuple(split), split, {**split, "dicom_id": "a-2"})
    labels = {"subject_id": "10000001", "study_id": "50000001"}
    columns = (*labels, *mimic_tables.FINDINGS)
    table(root / "plain.csv", columns, {**labels, "Edema": "-1.0", "Pneumonia": "0.0"})
    zipped = gzip.compress((root / "plain.csv").read_bytes())
    (root / "mimic-cxr-2.0.0-chexpert.csv.gz").write_bytes(zipped)

    (record,), refused = read(root)

    assert refused.items == []
    assert (record.record_id, record.group_id) == ("mimic_cxr/s50000001", "p10000001")
    assert (record.split, record.modality, record.body_part) == ("validation", "xray", "thorax")
    assert [(image.image_id, image.view) for image in record.images] == [
        ("a-1", "PA"),
        ("a-2", "LATERAL"),
    ]
    assert texts(record) == {
        "impression": "No acute process.",
        "findings": "Heart size is normal. The lungs are clear.",
        "history": "___ year old woman with cough.",
    }
    assert [(label.name, label.value, label.system) for label in record.labels] == [
        ("Edema", "-1.0", "CheXpert"),
        ("Pneumonia", "0.0", "CheXpert"),
    ]
    assert record.licence.conditions == ("zero_retention", "no_training", "no_human_review")


@pytest.mark.parametrize(
    ("report", "kind", "text"),
    [
        ("FINAL REPORT\n FINDINGS:  Old.\n \n FINDINGS:  New.\n", "findings", "New."),
        ("FINAL REPORT\n IMPRESSION:  A.\n ______________\n IMPRESSION:  B.\n", "impression", "B."),
        ("FINAL REPORT\n COMPARISON:  None.\n \n Clear lungs.\n", "report", "Clear lungs."),
        ("FINAL REPORT\r\n IMPRESSION:  A.\r\n", "impression", "A."),
        (
            "FINAL REPORT\n COMPARISON:  None.\n \n Clear.\n \n Stable.\n",
            "report",
            "Clear. Stable.",
        ),
        ("FINAL REPORT\n COMPARISON:  None.\n Clear lungs.\n", "report", "None. Clear lungs."),
        ("FINAL REPORT\n CHEST, TWO VIEWS:\n Clear lungs.\n", "findings", "Clear lungs."),
        ("FINAL REPORT\n CONCLUSION:  A.\n IMPRESSION:\n", "impression", "A."),
        ("FINAL REPORT\n IMPRESION:  A.\n FINDINGS: \n \n", "impression", "A."),
        ("FINAL REPORT\n IMPRESSION:  ___ TIME: \n SEE: below.\n", "impression", "___ TIME:"),
        ("Two views.\n \n Clear lungs.\n", "report", "Clear lungs."),
        ("Clear lungs.", "report", "Clear lungs."),
        (" WET READ: ___ 3:15 PM\n No pneumothorax.\n", "report", "___ 3:15 PM No pneumothorax."),
    ],
)
def test_the_owners_choice_of_section(report: str, kind: str, text: str, tmp_path: Path) -> None:
    (record,), _ = read(write(tmp_path, image_row(), report=report))

    assert texts(record) == {kind: text}


def test_a_colon_in_a_sentence_is_no_section() -> None:
    sections = report_sections(REPORT.replace("No acute", "Note: TIME: No acute"))

    assert sections["impression"] == "Note: TIME: No acute process."


def test_a_missing_report_and_a_bad_image_are_refused_alone(tmp_path: Path) -> None:
    root = write(tmp_path, image_row(), image_row("a-2"), image_row("a-3"), report=None)
    (root / STUDY / "a-2.jpg").write_bytes(b"x")

    (record,), refused = read(root)

    assert [image.image_id for image in record.images] == ["a-1"]
    assert record.texts == ()
    assert sorted((item.item, item.kind) for item in refused.items) == [
        ("image a-2", "unreadable_image"),
        ("image a-3", "missing_image"),
        ("report 50000001", "missing_report"),
    ]


def test_a_report_that_is_no_utf_8_is_refused(tmp_path: Path) -> None:
    root = write(tmp_path, image_row())
    (root / f"{STUDY}.txt").write_bytes(b"FINDINGS: \xff")

    (record,), refused = read(root)

    assert record.texts == ()
    assert refused.counts() == {"unreadable_report": 1}


@pytest.mark.parametrize(
    ("rows", "kinds"),
    [
        ([image_row("a-1"), image_row("a-1")], {"repeated_id": 1}),
        ([image_row("a-9", "50000009")], {"missing_image": 1, "no_image": 1}),
        (
            [
                image_row("a-8", "5/../.."),
            ],
            {"invalid_row": 1},
        ),
        (
            [image_row("b-1", "50000002"), image_row("b-2", "50000002", subject_id="1")],
            {"contradicting_rows": 1},
        ),
    ],
)
def test_bad_rows_are_refused_and_the_rest_goes_on(
    rows: list[dict[str, str]], kinds: dict[str, int], tmp_path: Path
) -> None:
    records, refused = read(write(tmp_path, image_row("a-2"), *rows))

    assert len(records) == 1
    assert refused.counts() == kinds


@pytest.mark.parametrize("split", ["dev", "Test", ""])
def test_an_unknown_split_is_refused(split: str, tmp_path: Path) -> None:
    root = write_splits(write(tmp_path, image_row()), ("a-1", split))

    records, refused = read(root)

    assert records == []
    assert refused.items[0].reason == (
        "split: expected one of train, validate, test, the same for the whole study"
    )


@pytest.mark.parametrize(
    ("splits", "kinds"),
    [
        ([("a-9", "train")], {"no_split": 1}),
        ([("a-1", "test")], {"no_split": 1}),
        ([("a-1", "train"), ("a-2", "train"), ("a-1", "test")],
         {"contradicting_rows": 1, "no_split": 1}),
        ([("a-1", "train"), ("a-2", "test")], {"invalid_row": 1}),
    ],
)  # fmt: skip
def test_a_study_without_one_sure_split_is_refused(
    splits: list[tuple[str, str]], kinds: dict[str, int], tmp_path: Path
) -> None:
    root = write_splits(write(tmp_path, image_row(), image_row("a-2")), *splits)

    records, refused = read(root)

    assert records == []
    assert refused.counts() == kinds


def test_rows_said_twice_are_refused_and_contradicting_labels_not_used(tmp_path: Path) -> None:
    root = write_splits(write(tmp_path, image_row()), ("a-1", "test"), ("a-1", "test"))
    labels = {"subject_id": "10000001", "study_id": "50000001"}
    table(
        root / "mimic-cxr-2.0.0-chexpert.csv",
        (*labels, *mimic_tables.FINDINGS),
        {**labels, "Edema": "1.0"},
        {**labels, "Edema": "0.0"},
    )

    (record,), refused = read(root)

    assert (record.split, record.labels) == ("test", ())
    assert [(item.item, item.kind) for item in refused.items] == [
        ("line 3", "repeated_id"),
        ("line 3", "contradicting_rows"),
    ]


@pytest.mark.parametrize("column", ["dicom_id", "subject_id", "study_id"])
def test_shifted_cells_are_refused_without_being_quoted(column: str, tmp_path: Path) -> None:
    root = write(tmp_path, image_row("a-2"), {**image_row(), column: "Jane Doe"})

    records, refused = read(root)

    assert len(records) == 1
    (item,) = refused.items
    assert (item.item, item.kind) == ("line 3", "invalid_row")
    assert column in item.reason
    assert "Jane" not in str(item)


def test_a_label_that_is_none_and_a_date_in_another_form_are_refused(tmp_path: Path) -> None:
    root = write(tmp_path, image_row(), {**image_row("a-2"), "StudyDate": "6 May 2180"})
    labels = {"subject_id": "10000001", "study_id": "50000001", "Edema": "Jane Doe"}
    columns = ("subject_id", "study_id", *mimic_tables.FINDINGS)
    table(root / "mimic-cxr-2.0.0-negbio.csv", columns, labels)

    (record,), refused = read(root)

    assert record.labels == ()
    assert sorted((item.item, item.kind, item.file) for item in refused.items) == [
        ("line 2", "invalid_row", "mimic-cxr-2.0.0-negbio.csv"),
        ("line 3", "invalid_row", "mimic-cxr-2.0.0-metadata.csv"),
    ]
    assert "Jane" not in str(refused.items)


def test_a_report_outside_of_the_root_is_refused_alone(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    root = write(tmp_path / "root", image_row(), report=None)
    (tmp_path / "note.txt").write_text(REPORT)
    (root / f"{STUDY}.txt").symlink_to(tmp_path / "note.txt")

    (record,), refused = read(root)

    assert record.texts == ()
    assert refused.counts() == {"path_outside_root": 1}


def test_no_metadata_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"metadata\.csv or mimic-cxr-2\.0\.0-metadata\.csv\.gz"):
        read(tmp_path)


def test_the_twin_is_read_whole_and_its_reports_agree_with_labels(tmp_path: Path) -> None:
    mimic_cxr.write_twin(tmp_path, cases=16, seed=5)

    records, refused = read(tmp_path)

    assert refused.items == []
    assert len(records) == 16
    assert {record.split for record in records} == {"train", "validation", "test"}
    found = set()
    for record in records:
        said = texts(record)
        found |= set(said)
        text = said.get("impression") or said.get("findings") or said["report"]
        names = {label.name for label in record.labels}
        assert names == ({"No Finding"} if "No nodule" in text else {"Lung Lesion"})
        pixels = [
            np.asarray(Image.open(tmp_path / image.path), dtype=int) for image in record.images
        ]
        assert len({one.tobytes() for one in pixels}) == len(pixels)
    assert found == {"impression", "findings", "history", "report"}
