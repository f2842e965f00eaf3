from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_modules import mama_mia
from data_modules.mama_mia_sheet import COLUMNS, FILE, SHEET
from data_modules.twins.mama_mia import write_workbook
from data_modules.twins.volumes import write_volume
from semihvision.core.errors import InputError, RefusalLog
from semihvision.core.images import read_image
from semihvision.core.record import Record

ROW = {
    "patient_id": "DUKE_001",
    "dataset": "DUKE",
    "bilateral_breast_cancer": "0",
    "pcr": "0.0",
    "er": "1",
    "her2": "nan",
    "tumor_subtype": "triple_negative",
    "age": "41.0",
    "menopause": "pre (<6 months since LMP)",
    "view": "axial",
    "num_phases": "2",
    "acquisition_date": "1984/10/13",
}


def write(
    root: Path,
    *rows: dict[str, str],
    code: str = "LPS",
    mask: bool = True,
    lower: bool = False,
    folder: str | None = None,
) -> Path:
    """Two phases a patient; in [left, back, head] 10:15, 20:26, 2:5 is marked, and one voxel."""
    write_workbook(
        root / FILE, [list(COLUMNS), *([row.get(c, "") for c in COLUMNS] for row in rows)]
    )
    marked = np.zeros((64, 64, 8), np.uint8)
    marked[10:15, 20:26, 2:5] = 1
    marked[40, 50, 6] = 1
    noise = np.random.default_rng(0).integers(0, 60, marked.shape).astype(np.uint8)
    for row in rows:
        patient = row["patient_id"]
        name = patient.lower() if lower else patient
        for phase in range(2):
            path = root / "images" / (folder or patient) / f"{name}_{phase:04d}.nii.gz"
            write_volume(path, np.where(marked > 0, 150 + 50 * phase, noise).astype(np.uint8), code)
        if mask:
            write_volume(root / f"segmentations/expert/{name}.nii.gz", marked, code)
    return root


def read(root: Path, **options: Any) -> tuple[list[Record], RefusalLog]:
    refused = RefusalLog()
    return list(mama_mia.read(root, refused, **options)), refused


def indices(record: Record) -> list[int | None]:
    return [image.index for image in record.images]


def kinds(refused: RefusalLog) -> list[tuple[str, str]]:
    return [(item.item, item.kind) for item in refused.items]


def test_the_sheet_has_49_columns() -> None:
    assert len(set(COLUMNS)) == len(COLUMNS) == 49


def test_a_patient_becomes_a_record(tmp_path: Path) -> None:
    root = write(tmp_path, ROW)

    (record,), refused = read(root)

    assert refused.items == []
    assert (record.record_id, record.group_id) == ("mama_mia/DUKE_001", "DUKE_001")
    assert (record.modality, record.body_part, record.split) == ("mr", "thorax", "")
    assert indices(record) == [2, 3, 4, 6] * 2
    assert {image.view for image in record.images} == {"phase 0", "phase 1"}
    assert {label.name: label.value for label in record.labels} == {
        "age": "41",
        "bilateral_breast_cancer": "no",
        "pcr": "no",
        "er": "positive",
        "tumor_subtype": "triple_negative",
        "menopause": "pre",
    }
    assert {region.slices for region in record.regions} == {(2, 6)}
    assert {region.mask_path for region in record.regions} == {
        "segmentations/expert/DUKE_001.nii.gz"
    }
    assert record.licence.name == "CC-BY-NC-SA-4.0"


@pytest.mark.parametrize("code", ["LPS", "RAS", "LAI", "RPS"])
@pytest.mark.parametrize("view", ["axial", "sagittal"])
def test_boxes_lie_around_what_is_marked_on_the_shown_slice(
    view: str, code: str, tmp_path: Path
) -> None:
    root = write(tmp_path, {**ROW, "view": view}, code=code)

    (record,), refused = read(root)

    assert refused.items == []
    regions = {region.image_id: region for region in record.regions}
    for image in record.images:
        wide = image.model_copy(update={"window_center": 75.0, "window_width": 150.0})
        rows, columns = np.nonzero(np.asarray(read_image(root, wide))[..., 0] == 255)
        box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        assert regions[image.image_id].box_xyxy == box
    expected = {"axial": [2, 3, 4, 6], "sagittal": [10, 11, 12, 13, 14, 40]}[view]
    assert indices(record)[: len(expected)] == expected
    assert {image.axis for image in record.images} == {view}


def test_which_slices_are_chosen(tmp_path: Path) -> None:
    root = write(tmp_path, ROW)

    assert indices(read(root, slices="largest")[0][0]) == [3, 3]
    assert indices(read(root, most=2)[0][0]) == [2, 6, 2, 6]

    (root / "segmentations/expert/DUKE_001.nii.gz").unlink()
    (record,), refused = read(root)
    assert refused.items == []
    assert record.regions == ()
    assert indices(record) == [*range(8)] * 2
    assert indices(read(root, slices="largest")[0][0]) == [3, 3]


@pytest.mark.parametrize("folder", ["DUKE_001", "duke_001"])
def test_lower_case_files_are_taken(folder: str, tmp_path: Path) -> None:
    (record,), refused = read(write(tmp_path, ROW, lower=True, folder=folder))

    assert refused.items == []
    assert record.images[0].path == f"images/{folder}/duke_001_0000.nii.gz"
    assert record.regions[0].mask_path == "segmentations/expert/duke_001.nii.gz"


def test_splits_are_the_owners_where_they_are_there(tmp_path: Path) -> None:
    others = [{**ROW, "patient_id": f"DUKE_00{k}"} for k in (2, 3)]
    root = write(tmp_path, ROW, *others)
    (root / "train_test_splits.csv").write_text("train_split,test_split\nDUKE_001,DUKE_002\n,x\n")

    records, refused = read(root)

    assert [record.split for record in records] == ["train", "test"]
    assert kinds(refused) == [("row 4", "no_split")]


def test_phases_and_sheet_must_agree(tmp_path: Path) -> None:
    rows = [{**ROW, "patient_id": f"DUKE_00{k}", "num_phases": n} for k, n in ((1, "3"), (2, "1"))]

    records, refused = read(write(tmp_path, *rows))

    assert [len(record.images) for record in records] == [8, 4]
    assert kinds(refused) == [
        ("row 2, phase 2", "missing_image"),
        ("row 3, phase 1", "contradicting_rows"),
    ]


def test_a_phase_of_another_size_and_a_bad_segmentation_are_refused_alone(tmp_path: Path) -> None:
    root = write(tmp_path, ROW)
    small = np.arange(8 * 8 * 8, dtype=np.uint8).reshape(8, 8, 8)
    write_volume(root / "images/DUKE_001/DUKE_001_0001.nii.gz", small)
    (root / "segmentations/expert/DUKE_001.nii.gz").write_bytes(b"x")

    (record,), refused = read(root)

    assert indices(record) == [*range(8)]
    assert kinds(refused) == [
        ("row 2, segmentation", "unreadable_image"),
        ("row 2, phase 1", "image_size"),
    ]


def test_folders_without_a_row_are_refused_unnamed(tmp_path: Path) -> None:
    root = write(tmp_path, ROW)
    (root / "images/Jane Doe").mkdir()

    records, refused = read(root)

    assert len(records) == 1
    assert kinds(refused) == [("folder 2 of images", "no_row")]
    assert "Jane" not in str(refused.items)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("patient_id", "Jane Doe"),
        ("patient_id", "../DUKE_001"),
        ("patient_id", ""),
        ("dataset", "Jane Doe"),
        ("view", "coronal"),
        ("view", ""),
        ("num_phases", "0"),
        ("num_phases", "2.5"),
        ("num_phases", "9" * 30),
        ("num_phases", "²"),
        ("age", "Jane Doe"),
        ("acquisition_date", "13.10.1984"),
        ("acquisition_date", "1984/13/13"),
        ("pcr", "Jane Doe"),
        ("er", "-1"),
        ("menopause", "?"),
        ("tumor_subtype", "x" * 99),
    ],
)
def test_a_bad_row_is_refused_by_number_without_being_quoted(
    column: str, value: str, tmp_path: Path
) -> None:
    bad = {**ROW, "patient_id": "DUKE_002", column: value}
    write(tmp_path, ROW)
    root = tmp_path
    write_workbook(
        root / FILE, [list(COLUMNS), *([row.get(c, "") for c in COLUMNS] for row in (ROW, bad))]
    )

    records, refused = read(root)

    assert len(records) == 1
    (item,) = refused.items
    assert (item.item, item.kind, item.file) == ("row 3", "invalid_row", FILE)
    assert item.reason.startswith(column)
    assert "Jane" not in str(item)


def test_a_missing_sheet_or_column_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"no file {FILE}"):
        read(tmp_path)
    write_workbook(tmp_path / FILE, [["patient_id", "dataset"]], sheet=SHEET)
    with pytest.raises(InputError, match="column age, view, num_phases"):
        read(tmp_path)


def test_the_twin_is_read_whole_and_its_lesions_take_up_contrast(tmp_path: Path) -> None:
    mama_mia.write_twin(tmp_path, cases=6, seed=3)

    records, refused = read(tmp_path)

    assert refused.items == []
    assert len(records) == 6
    assert {record.split for record in records} == {"train", "test"}
    assert {len({image.view for image in record.images}) for record in records} == {3, 4, 5}
    for record in records:
        region = record.regions[0]
        x0, y0, x1, y1 = map(int, region.box_xyxy or ())
        images = [image for image in record.images if image.index == record.images[0].index]
        same = {"window_center": 127.5, "window_width": 255.0}
        means = [
            np.asarray(read_image(tmp_path, image.model_copy(update=same)))[y0:y1, x0:x1].mean()
            for image in images
        ]
        assert means == sorted(means)
        assert means[-1] > means[0] + 20
