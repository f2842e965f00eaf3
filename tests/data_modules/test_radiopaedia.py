import csv
from pathlib import Path

import pytest
from PIL import Image

from data_modules import radiopaedia
from semihvision.core.errors import InputError, RefusalLog
from semihvision.core.record import MODALITIES, Record

COLUMNS = ("case_id", "image_path", "question", "answer")


def write(root: Path, *rows: tuple[str, ...], columns: tuple[str, ...] = COLUMNS) -> Path:
    for name in ("a.png", "b.png"):
        Image.new("L", (8, 8)).save(root / name)
    name = "radiopaedia.csv" if "question" in columns else "radiopaedia_modality.csv"
    with (root / name).open("w", newline="") as stream:
        csv.writer(stream).writerows([columns, *rows])
    return root


def read(root: Path) -> tuple[list[Record], RefusalLog]:
    refused = RefusalLog()
    return list(radiopaedia.read(root, refused)), refused


def test_rows_of_a_case_become_one_record(tmp_path: Path) -> None:
    write(
        tmp_path,
        ("42", "a.png", "", "A cyst."),
        ("42", "b.png", "Which side?", "left"),
        ("42", "a.png", "Which organ?", "kidney"),
    )
    write(tmp_path, ("a.png", "CT"), ("b.png", "CT"), columns=("image_path", "answer"))
    (record,), refused = read(tmp_path)

    assert refused.items == []
    assert (record.record_id, record.group_id) == ("radiopaedia/42", "42")
    assert [image.path for image in record.images] == ["a.png", "b.png"]
    assert [(text.kind, text.text, text.image_ids) for text in record.texts] == [
        ("caption", "A cyst.", ("image 1",))
    ]
    assert [(qa.question, qa.image_ids) for qa in record.qa] == [
        ("Which side?", ("image 2",)),
        ("Which organ?", ("image 1",)),
    ]
    assert (record.modality, len(record.labels)) == ("ct", 2)
    assert record.licence.conditions == ("owner_permission",)


def test_radfms_own_columns_are_enough(tmp_path: Path) -> None:
    columns = ("image_path", "question", "answer")
    records, _ = read(write(tmp_path, ("a.png", "Q?", "A"), ("b.png", "Q?", "B"), columns=columns))

    assert [record.group_id for record in records] == ["a.png", "b.png"]


def test_modalities_alone_are_enough_and_unknown_ones_stay_labels(tmp_path: Path) -> None:
    write(tmp_path, ("a.png", "CT"), ("b.png", "Kymography"), columns=("image_path", "answer"))
    first, second = read(tmp_path)[0]

    assert (first.modality, second.modality) == ("ct", "")
    assert second.labels[0].value == "Kymography"
    assert set(radiopaedia.MODALITIES_OF.values()) <= set(MODALITIES)


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        (("1", "gone.png", "Q?", "A"), "missing_image"),
        (("1", "../a.png", "Q?", "A"), "path_outside_root"),
        (("1", "", "Q?", "A"), "invalid_row"),
        (("1", "b.png", "Q?", "nan"), "invalid_row"),
        (("a case", "b.png", "Q?", "A"), "invalid_row"),
        (("2", "a.png", "Q?", "A"), "contradicting_rows"),
        (("1", "a.png", "", "Sound."), "repeated_id"),
    ],
)
def test_a_bad_row_is_refused_alone(row: tuple[str, ...], kind: str, tmp_path: Path) -> None:
    (record,), refused = read(write(tmp_path, ("1", "a.png", "", "Sound."), row))

    assert [text.text for text in record.texts] == ["Sound."]
    assert record.qa == ()
    assert [(item.item, item.kind) for item in refused.items] == [("line 3", kind)]


def test_no_table_or_column_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no file radiopaedia\.csv or radiopaedia_modality\.csv"):
        read(tmp_path)
    with pytest.raises(InputError, match="no column image_path"):
        read(write(tmp_path, columns=("path", "question", "answer")))


def test_the_twin_is_read_whole_and_agrees_with_itself(tmp_path: Path) -> None:
    radiopaedia.write_twin(tmp_path, cases=10, seed=1)

    records, refused = read(tmp_path)

    assert refused.items == []
    assert len(records) == 10
    assert {len(record.images) for record in records} == {1, 2}
    for record in records:
        assert record.modality
        for question in record.qa:
            (described,) = [t.text for t in record.texts if t.image_ids == question.image_ids]
            assert question.answer in described.lower()
