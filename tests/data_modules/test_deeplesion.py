import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_modules import deeplesion, deeplesion_rows
from semihvision.core.errors import InputError, RefusalLog
from semihvision.core.images import read_image
from semihvision.core.record import Record

ROW = dict(
    zip(
        deeplesion_rows.COLUMNS,
        (
            "000089_01_01_037.png", "89", "1", "1", "37", "15, 17, 14, 20, 16, 20, 13, 19",
            "13, 17, 17, 21", "33.8, 24.7", "0.28, 0.33, 0.54", "4", "0", "31, 43",
            "0.85, 0.85, 5", "32, 32", "-175, 275", "F", "71", "1",
        ),
        strict=True,
    )
)  # fmt: skip
SLICE = "Images_png/000089_01_01/037.png"


def write(root: Path, *rows: dict[str, str], slices: tuple[str, ...] = (SLICE,)) -> Path:
    with (root / "DL_info.csv").open("w", newline="") as stream:
        table = csv.DictWriter(stream, deeplesion_rows.COLUMNS)
        table.writeheader()
        table.writerows(rows)
    for name in slices:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((32, 32), 32768, np.uint16)).save(root / name)
    return root


def read(root: Path) -> tuple[list[Record], RefusalLog]:
    refused = RefusalLog()
    return list(deeplesion.read(root, refused)), refused


def test_the_158_real_rows_are_read(deeplesion_table: Path, tmp_path: Path) -> None:
    (tmp_path / "DL_info.csv").write_bytes(deeplesion_table.read_bytes())
    with deeplesion_table.open(newline="") as stream:
        reader = csv.DictReader(stream)
        rows = list(reader)
        assert tuple(reader.fieldnames or ()) == deeplesion_rows.COLUMNS
    blank = Image.fromarray(np.zeros((512, 512), np.uint16))
    for name in {row["File_name"] for row in rows}:
        path = tmp_path / deeplesion_rows.image_path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        blank.save(path)

    records, refused = read(tmp_path)

    assert refused.items == []
    assert sum(len(record.regions) for record in records) == len(rows) == 158
    assert len(records) == len({row["File_name"] for row in rows})
    first = records[0]
    assert first.images[0].path == SLICE
    assert first.regions[0].box_xyxy == (132.977, 171.808, 165.939, 214.029)
    assert first.regions[0].lines_xyxy[0] == (154.273, 176.808, 143.903, 209.029)
    assert (first.images[0].window_center, first.images[0].window_width) == (50, 450)
    assert {(label.name, label.value) for label in first.labels} == {("sex", "F"), ("age", "71")}
    assert len({record.group_id for record in records}) == 12


def test_the_file_name_is_a_folder_and_a_slice() -> None:
    assert deeplesion_rows.image_path("000089_01_01_037.png") == SLICE
    with pytest.raises(InputError, match="expected <patient>_<study>_<series>"):
        deeplesion_rows.image_path("037.png")


def test_rows_of_one_slice_become_one_record(tmp_path: Path) -> None:
    second = {**ROW, "Bounding_boxes": "1, 2, 3, 4", "Coarse_lesion_type": "-1"}
    third = {**ROW, "DICOM_windows": "-1500, 500", "Possibly_noisy": "1"}

    records, refused = read(write(tmp_path, ROW, second, third))

    assert refused.items == []
    (record,) = records
    assert [image.window_width for image in record.images] == [450, 2000]
    assert [(r.image_id, r.label) for r in record.regions] == [
        ("key slice", "liver lesion"),
        ("key slice", "lesion"),
        ("key slice, window 2", "liver lesion"),
    ]
    named = [(label.name, label.value, label.region_ids) for label in record.labels]
    assert ("coarse_lesion_type", "liver", ("lesion 1",)) in named
    assert ("possibly_noisy", "1", ("lesion 3",)) in named
    assert record.body_part == ""


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("File_name", "037.png"),
        ("File_name", "../../x_01_01_037.png"),
        ("File_name", "Jane Doe"),
        ("Key_slice_index", "Jane Doe"),
        ("Key_slice_index", "-1"),
        ("Key_slice_index", "37.5"),
        ("Key_slice_index", "1e300"),
        ("Bounding_boxes", "1, 2, 3"),
        ("Bounding_boxes", "5, 5, 5, 9"),
        ("Bounding_boxes", "1, 2, 3, nan"),
        ("Measurement_coordinates", ""),
        ("Spacing_mm_px_", "0.8"),
        ("DICOM_windows", "275, -175"),
        ("Image_size", "32 x 32"),
        ("Train_Val_Test", "4"),
        ("Coarse_lesion_type", "9"),
        ("Coarse_lesion_type", "Jane Doe"),
        ("Train_Val_Test", "Jane Doe"),
        ("Bounding_boxes", "Jane Doe"),
    ],
)
def test_a_bad_row_is_refused_by_line_and_the_other_lesion_stays(
    column: str, value: str, tmp_path: Path
) -> None:
    records, refused = read(write(tmp_path, ROW, {**ROW, column: value}))

    assert [len(record.regions) for record in records] == [1]
    (item,) = refused.items
    assert (item.item, item.kind, item.file) == ("line 3", "invalid_row", "DL_info.csv")
    assert column in item.reason
    assert value == "" or value not in str(item)


def test_bad_slices_are_refused_with_each_of_their_lesions(tmp_path: Path) -> None:
    def row(patient: int, **more: str) -> dict[str, str]:
        return {**ROW, "File_name": f"{patient:06d}_01_01_037.png", **more}

    good = tuple(f"Images_png/{patient:06d}_01_01/037.png" for patient in (2, 3, 4, 5))
    root = write(
        tmp_path,
        row(1),
        row(2),
        row(3, Image_size="512, 512"),
        row(4),
        row(4, Coarse_lesion_type="-1"),
        row(5),
        row(5, Patient_index="9"),
        slices=good,
    )
    Image.new("L", (32, 32)).save(root / good[0])
    (root / good[2]).write_bytes((root / good[2]).read_bytes()[:50])

    records, refused = read(root)

    assert records == []
    assert [(item.item, item.kind) for item in refused.items] == [
        ("line 2", "missing_image"),
        ("line 3", "image_format"),
        ("line 4", "image_size"),
        ("line 5", "unreadable_image"),
        ("line 6", "unreadable_image"),
        ("line 7", "contradicting_rows"),
        ("line 8", "contradicting_rows"),
    ]


def test_a_row_said_twice_is_one_lesion(tmp_path: Path) -> None:
    (record,), refused = read(write(tmp_path, ROW, ROW))

    assert len(record.regions) == 1
    assert [(item.item, item.kind) for item in refused.items] == [("line 3", "repeated_id")]


def test_neighbours_follow_their_key_slice_where_they_are_there(tmp_path: Path) -> None:
    folder = "Images_png/000089_01_01"
    others = tuple(f"{folder}/{index:03d}.png" for index in (35, 36, 38, 39))
    row = {**ROW, "Slice_range": "31, 38"}
    root = write(tmp_path, row, slices=(SLICE, *others))

    (record,), refused = read(root)

    assert refused.items == []
    assert [(image.image_id, image.index, image.path) for image in record.images] == [
        ("key slice", 37, SLICE),
        ("slice -1", 36, others[1]),
        ("slice +1", 38, others[2]),
    ]
    assert {image.window_width for image in record.images} == {450}
    assert record.regions[0].image_id == "key slice"
    found = {n: next(deeplesion.read(root, refused, neighbours=n)).images for n in (0, 3)}
    assert {n: [image.index for image in images] for n, images in found.items()} == {
        0: [37],
        3: [37, 35, 36, 38],
    }
    with pytest.raises(InputError, match="neighbours -1: expected 0 or more"):
        next(deeplesion.read(root, refused, neighbours=-1))


def test_a_bad_neighbour_is_refused_alone(tmp_path: Path) -> None:
    neighbour = "Images_png/000089_01_01/038.png"
    root = write(tmp_path, ROW, slices=(SLICE, neighbour))
    (root / neighbour).write_bytes(b"x")
    (root / neighbour).with_name("036.png").symlink_to(tmp_path.parent / "elsewhere.png")

    (record,), refused = read(root)

    assert [image.image_id for image in record.images] == ["key slice"]
    assert [(item.item, item.kind) for item in refused.items] == [
        ("line 2, slice -1", "path_outside_root"),
        ("line 2, slice +1", "unreadable_image"),
    ]


def test_a_missing_column_or_table_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no file DL_info\.csv"):
        read(tmp_path)
    (tmp_path / "DL_info.csv").write_text("File_name,Patient_index\n")
    with pytest.raises(InputError, match="no column Study_index, Series_ID"):
        read(tmp_path)


def test_the_twin_is_read_whole_and_its_boxes_hold_the_lesions(tmp_path: Path) -> None:
    deeplesion.write_twin(tmp_path, cases=10, seed=3)

    records, refused = read(tmp_path)

    assert refused.items == []
    assert len(records) == 10
    assert {record.split for record in records} == {"train", "validation", "test"}
    for record in records:
        shown, _, plain = (
            np.asarray(read_image(tmp_path, one)).astype(int)[..., 0] for one in record.images
        )
        outside = np.abs(shown - plain)
        for region in record.regions:
            x0, y0, x1, y1 = (int(value) for value in region.box_xyxy or ())
            assert outside[y0:y1, x0:x1].max() > 40
            outside[y0:y1, x0:x1] = 0
            long, short = (
                np.hypot(line[2] - line[0], line[3] - line[1]) for line in region.lines_xyxy
            )
            assert long >= short
            assert abs(long - max(x1 - x0, y1 - y0)) <= 2
        assert outside.max() == 0
