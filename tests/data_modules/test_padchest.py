from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_modules import padchest, padchest_rows
from data_modules.twins.padchest import write_table
from semihvision.core.errors import InputError, RefusalLog
from semihvision.core.images import read_image
from semihvision.core.record import Record

ROW = {
    "ImageID": "20536686640136348236148679891455886468_k6ga29.png",
    "ImageDir": "0",
    "StudyDate_DICOM": "20140915",
    "StudyID": "20536686640136348236148679891455886468",
    "PatientID": "839860488694292331637988235681460987",
    "PatientBirth": "1930.0",
    "PatientSex_DICOM": "F",
    "Projection": "PA",
    "PhotometricInterpretation_DICOM": "MONOCHROME2",
    "BitsStored_DICOM": "12.0",
    "WindowCenter_DICOM": "2047.0",
    "WindowWidth_DICOM": "4094.0",
    "Report": "sin hallazgos patológicos",
    "MethodLabel": "Physician",
    "Labels": "['pulmonary fibrosis', ' chronic changes', 'chronic changes ', '']",
    "Localizations": "['loc basal']",
}
RAMP = np.arange(0, 4096, 16, dtype=np.uint16).reshape(16, 16)


def write(root: Path, *rows: dict[str, str], pixels: np.ndarray = RAMP) -> Path:
    write_table(root, rows)
    (root / "0").mkdir()
    for row in rows:
        if row["ImageID"].endswith(".png") and "/" not in row["ImageID"]:
            Image.fromarray(pixels).save(root / "0" / row["ImageID"])
    return root


def read(root: Path) -> tuple[list[Record], RefusalLog]:
    refused = RefusalLog()
    return list(padchest.read(root, refused)), refused


def shown(root: Path, record: Record) -> list[int]:
    """First and last pixel as they are shown."""
    pixels = np.asarray(read_image(root, record.images[0]))[..., 0]
    return [int(pixels[0, 0]), int(pixels[-1, -1])]


def facts(record: Record) -> dict[str, str]:
    return {fact.name: fact.value for fact in record.images[0].reading}


def test_a_study_becomes_a_record(tmp_path: Path) -> None:
    lateral = {**ROW, "ImageID": "side view.png", "Projection": "L", "Labels": "nan"}

    (record,), refused = read(write(tmp_path, ROW, lateral))

    assert refused.items == []
    assert record.record_id == f"padchest/{ROW['StudyID']}"
    assert (record.group_id, record.split) == (f"patient {ROW['PatientID']}", "")
    assert (record.modality, record.body_part) == ("xray", "thorax")
    first, second = (image.image_id for image in record.images)
    assert [image.view for image in record.images] == ["PA", "L"]
    assert [(text.kind, text.language, text.image_ids) for text in record.texts] == [
        ("report", "es", ())
    ]
    assert record.texts[0].text == "sin hallazgos patológicos"
    assert [(label.name, label.value, label.image_ids) for label in record.labels] == [
        ("pulmonary fibrosis", "1", (first,)),
        ("chronic changes", "1", (first,)),
        ("localization", "loc basal", (first, second)),
        ("age", "84", ()),
        ("sex", "F", ()),
    ]
    assert record.labels[0].system == "PadChest, Physician"
    assert record.licence.conditions == ("agreement_allows",)


@pytest.mark.parametrize(
    ("changes", "pixels", "ends", "source"),
    [
        ({}, RAMP, [0, 254], "table"),
        ({"WindowCenter_DICOM": "[3000.0, 2047]", "WindowWidth_DICOM": "[160.0, 9]"}, RAMP,
         [0, 255], "table"),
        ({"PhotometricInterpretation_DICOM": "MONOCHROME1"}, RAMP, [255, 1], "table"),
        ({"WindowCenter_DICOM": "", "WindowWidth_DICOM": "nan"}, RAMP, [0, 255],
         "percentiles of the image"),
        ({}, RAMP * 15, [0, 255], "percentiles of the image"),
        ({"PhotometricInterpretation_DICOM": "MONOCHROME1"}, RAMP * 15, [255, 0],
         "percentiles of the image"),
        ({}, (RAMP // 16).astype(np.uint8), [0, 255], None),
        ({"PhotometricInterpretation_DICOM": "MONOCHROME1"}, (RAMP // 16).astype(np.uint8),
         [255, 0], None),
    ],
)  # fmt: skip
def test_how_pixels_are_shown(
    changes: dict[str, str],
    pixels: np.ndarray,
    ends: list[int],
    source: str | None,
    tmp_path: Path,
) -> None:
    root = write(tmp_path, {**ROW, **changes}, pixels=pixels)

    (record,), _ = read(root)

    assert shown(root, record) == ends
    assert facts(record).get("window") == source
    assert facts(record).get("inverted", "no") == ("yes" if ends[0] else "no")


def test_a_constant_image_is_refused(tmp_path: Path) -> None:
    row = {**ROW, "WindowCenter_DICOM": "", "WindowWidth_DICOM": ""}

    records, refused = read(write(tmp_path, row, pixels=RAMP * 0 + 7))

    assert records == []
    assert refused.counts() == {"constant_image": 1}


def test_rows_with_other_reports_keep_both(tmp_path: Path) -> None:
    other = {**ROW, "ImageID": "b.png", "Report": "otro"}

    (record,), _ = read(write(tmp_path, ROW, other, {**ROW, "ImageID": "c.png", "Report": "nan"}))

    first, second, _ = (image.image_id for image in record.images)
    assert [(text.text_id, text.image_ids) for text in record.texts] == [
        ("report", (first,)),
        ("report 2", (second,)),
    ]


def test_spellings_of_the_readme_and_other_orders_are_read(tmp_path: Path) -> None:
    root = write(tmp_path, ROW)
    table = root / padchest_rows.TABLE
    text = table.read_text(encoding="utf-8").replace(",ExposureTime,", ",ExposureTime_DICOM,")
    rows = [line.split(",", 2) for line in text.replace("labelCUIS", "LabelCUIS").splitlines()]
    table.write_text("\n".join(f"{b},{a},{c}" for a, b, c in rows), encoding="utf-8")

    (record,), refused = read(root)

    assert refused.items == []
    assert record.images[0].path == f"0/{ROW['ImageID']}"


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("ImageID", "Jane Doe"),
        ("ImageID", "../0/x.png"),
        ("ImageDir", "../0"),
        ("StudyID", "Jane Doe"),
        ("PatientID", ""),
        ("StudyDate_DICOM", "15.9.2014"),
        ("StudyDate_DICOM", "20141341"),
        ("PatientBirth", "Jane Doe"),
        ("BitsStored_DICOM", "Jane Doe"),
        ("Labels", "Jane Doe"),
        ("Labels", "['Jane Doe"),
        ("Labels", "['normal', nan]"),
        ("Localizations", "{'Jane Doe'}"),
        ("WindowCenter_DICOM", "Jane Doe"),
        ("WindowCenter_DICOM", ""),
        ("WindowWidth_DICOM", "-7.25"),
        ("WindowWidth_DICOM", "inf"),
    ],
)
def test_a_bad_row_is_refused_by_line_without_being_quoted(
    column: str, value: str, tmp_path: Path
) -> None:
    bad = {**ROW, "ImageID": "b.png", column: value}

    records, refused = read(write(tmp_path, ROW, bad))

    assert [len(record.images) for record in records] == [1]
    (item,) = refused.items
    assert (item.item, item.kind, item.file) == ("line 3", "invalid_row", padchest_rows.TABLE)
    assert column.removesuffix("Center_DICOM").removesuffix("Width_DICOM") in item.reason
    assert value == "" or value not in str(item)


def test_a_table_that_lacks_a_column_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no file PADCHEST_.*\.csv or PADCHEST_.*\.csv\.gz"):
        read(tmp_path)
    (tmp_path / padchest_rows.TABLE).write_text("ImageID,Labels\n")
    with pytest.raises(InputError, match="no column ImageDir, StudyDate_DICOM"):
        read(tmp_path)


def test_the_twin_is_read_whole_and_its_reports_agree_with_labels(tmp_path: Path) -> None:
    padchest.write_twin(tmp_path, cases=12, seed=2)

    records, refused = read(tmp_path)

    assert refused.items == []
    assert len(records) == 12
    assert {len(record.images) for record in records} == {1, 2}
    for record in records:
        names = {label.name for label in record.labels}
        places = {label.value for label in record.labels if label.name == "localization"}
        assert ("normal" in names) == ("sin nódulos" in record.texts[0].text)
        assert ("loc left" in places) == ("izquierdo" in record.texts[0].text)
        assert facts(record)["window"] == "table"
        corners = np.asarray(read_image(tmp_path, record.images[0]))[:4, :4]
        assert corners.mean() < 80  # air is black, inverted or not
    assert "inverted" in {name for record in records for name in facts(record)}
