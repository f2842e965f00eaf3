import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_modules import lld_mmri
from data_modules.lld_cutouts import CLASSES, FOLDER, PHASES
from data_modules.twins.volumes import write_volume
from data_modules.volumes import Selection, evenly
from semihvision.core.errors import InputError, RefusalLog
from semihvision.core.images import read_image
from semihvision.core.record import Record

BOX = {"x_min": 10, "y_min": 20, "z_min": 2, "x_max": 15, "y_max": 26, "z_max": 4}


def series(number: int = 0, *boxes: dict[str, Any], category: Any = "Hepatic_cyst") -> Any:
    lesions = {
        str(k): {"category": category, "bbox": box if "3D_box" in box or "2D_box" in box else
                 {"3D_box": box}}
        for k, box in enumerate(boxes)
    }  # fmt: skip
    return {
        "studyUID": "1.2",
        "seriesUID": f"1.2.{number}",
        "phase": PHASES[number],
        "annotation": {"lesion": lesions},
    }


def write(root: Path, *rows: Any, code: str = "LPS") -> Path:
    """Volumes that are bright inside BOX, in [left, back, head]."""
    (root / "labels").mkdir(parents=True, exist_ok=True)
    text = json.dumps({"Annotation_info": {"MR1": rows}})
    (root / "labels/Annotation.json").write_text(text)
    volume = np.random.default_rng(0).integers(0, 60, (64, 64, 8)).astype(np.uint8)
    volume[10:15, 20:26, 2:5] = 250
    for row in rows:
        name = f"images/MR1/{row['studyUID']}/{row['seriesUID']}.nii.gz"
        write_volume(root / name, volume, code)
    return root


def read(root: Path, **options: Any) -> tuple[list[Record], RefusalLog]:
    refused = RefusalLog()
    return list(lld_mmri.read(root, refused, **options)), refused


def indices(record: Record) -> list[int | None]:
    return [image.index for image in record.images]


def test_a_patient_becomes_a_record(tmp_path: Path) -> None:
    root = write(tmp_path, series(0, BOX), series(5, BOX))
    lists = root / FOLDER / "labels"
    lists.mkdir(parents=True)
    (lists / "labels.txt").write_text("MR1 4\nMR1_1 3\n")

    (record,), refused = read(root)

    assert refused.items == []
    assert (record.record_id, record.group_id, record.split) == ("lld_mmri/MR1", "MR1", "train")
    assert (record.modality, record.body_part) == ("mr", "abdomen")
    assert indices(record) == [2, 3, 4] * 2
    assert {image.view for image in record.images} == {"T2WI", "C+A"}
    assert {(image.format, image.axis) for image in record.images} == {("nifti", "axial")}
    assert [region.slices for region in record.regions] == [(2, 4)] * 6
    (label,) = record.labels
    assert (label.name, label.value, len(label.region_ids)) == ("category", "Hepatic_cyst", 6)
    assert record.licence.conditions == ("agreement_allows",)


@pytest.mark.parametrize("code", ["LPS", "RAS", "LAS", "LPI"])
def test_boxes_are_those_of_the_stored_array_and_lie_on_the_shown_slice(
    code: str, tmp_path: Path
) -> None:
    box = dict(BOX)
    for axis, letter, size in zip("xyz", code, (64, 64, 8), strict=True):
        if letter not in "LPS":
            low, high = box[f"{axis}_min"], box[f"{axis}_max"]
            last = 1 if axis == "z" else 0  # z_max is inclusive
            box |= {f"{axis}_min": size - high - last, f"{axis}_max": size - low - last}
    root = write(tmp_path, series(0, box), code=code)

    (record,), refused = read(root)

    assert refused.items == []
    assert indices(record) == [2, 3, 4]
    for image, region in zip(record.images, record.regions, strict=True):
        wide = image.model_copy(update={"window_center": 125.0, "window_width": 250.0})
        shown = np.asarray(read_image(root, wide))[..., 0]
        assert region.box_xyxy == (10, 20, 15, 26)
        assert shown[20:26, 10:15].min() == 255
        assert (shown == 255).sum() == 5 * 6


def test_two_dimensional_boxes_are_taken_slice_by_slice(tmp_path: Path) -> None:
    flat = [
        {"slice_idx": z, "x_min": 10, "y_min": 20, "x_max": 15 + z, "y_max": 26} for z in (3, 6, 4)
    ]
    root = write(tmp_path, series(0, {"3D_box": BOX, "2D_box": flat}))

    (record,), refused = read(root)

    assert refused.items == []
    assert {region.image_id: region.box_xyxy for region in record.regions} == {
        "T2WI, slice 3": (10, 20, 18, 26),
        "T2WI, slice 4": (10, 20, 19, 26),
        "T2WI, slice 6": (10, 20, 21, 26),
    }
    assert indices(read(root, slices="largest")[0][0]) == [6]


def test_which_slices_are_chosen(tmp_path: Path) -> None:
    far = {**BOX, "z_min": 6, "z_max": 6}
    root = write(tmp_path, series(0, BOX, far), series(1))

    (record,), _ = read(root)
    assert indices(record) == [2, 3, 4, 6, *range(8)]
    assert {image.index for image in record.images if image.view == "DWI"} == set(range(8))
    assert [region.region_id for region in record.regions][-1] == "lesion 1, T2WI, slice 6"

    assert indices(read(root, most=3)[0][0]) == [2, 4, 6, 0, 4, 7]
    assert indices(read(root, slices="largest")[0][0]) == [3, 3]
    with pytest.raises(InputError, match="slices middle, most 10: expected one of marked, largest"):
        read(root, slices="middle")
    with pytest.raises(InputError, match="at least 1"):
        read(root, most=0)


def test_evenly_spaced_slices() -> None:
    assert evenly(range(100), 10) == [0, 11, 22, 33, 44, 55, 66, 77, 88, 99]
    assert evenly([3, 5, 9], 3) == [3, 5, 9]
    assert evenly(range(5), 1) == [2]
    assert Selection("largest").of_volume(9) == [4]


def test_a_constant_slice_is_refused_alone(tmp_path: Path) -> None:
    root = write(tmp_path, series(0))
    volume = np.zeros((64, 64, 8), np.uint8)
    volume[1, 1, 3:] = 9
    write_volume(root / "images/MR1/1.2/1.2.0.nii.gz", volume)

    (record,), refused = read(root)

    assert indices(record) == [3, 4, 5, 6, 7]
    assert [(item.item, item.kind) for item in refused.items] == [
        (f"patient MR1, series 1, slice {index}", "constant_image") for index in range(3)
    ]


@pytest.mark.parametrize("value", ["hepatic_CYST", 4, "4"])
def test_classes_by_name_and_number(value: Any, tmp_path: Path) -> None:
    (record,), _ = read(write(tmp_path, series(0, BOX, category=value)))

    assert [label.value for label in record.labels] == ["Hepatic_cyst"]


@pytest.mark.parametrize("value", [-1, "Inaccessible"])
def test_a_class_that_the_owners_keep_gives_no_label(value: Any, tmp_path: Path) -> None:
    (record,), refused = read(write(tmp_path, series(0, BOX, category=value)))

    assert refused.items == []
    assert record.labels == ()
    assert {region.label for region in record.regions} == {""}


@pytest.mark.parametrize(
    ("row", "kind", "said"),
    [
        (series(1, {**BOX, "x_min": "Jane Doe"}), "invalid_row", "x_min"),
        (series(1, {**BOX, "z_min": 2.5}), "invalid_row", "z_min"),
        (series(1, {**BOX, "x_max": 10}), "invalid_box", "empty"),
        (series(1, {**BOX, "y_min": -1}), "invalid_box", "64 x 64 x 8 voxels"),
        (series(1, {"2D_box": {"x_min": 1}}), "invalid_row", "2D_box"),
        (series(1, {"2D_box": [7]}), "invalid_row", "x_min"),
        (series(1, {"2D_box": []}), "invalid_row", "bbox"),
        (series(1, BOX, category="Jane Doe"), "invalid_row", "category"),
        ({**series(1), "phase": "Jane Doe"}, "invalid_row", "phase"),
        ({**series(1), "annotation": "Jane Doe"}, "invalid_row", "annotation"),
        ({**series(1), "annotation": {"lesion": {"Jane Doe": {}}}}, "invalid_row", "lesion"),
        ({**series(1), "seriesUID": 7}, "invalid_row", "seriesUID"),
        ("Jane Doe", "invalid_row", "studyUID"),
    ],
)
def test_a_bad_series_is_refused_without_being_quoted(
    row: Any, kind: str, said: str, tmp_path: Path
) -> None:
    root = write(tmp_path, series(0, BOX), series(1))
    text = json.dumps({"Annotation_info": {"MR1": [series(0, BOX), row]}})
    (root / "labels/Annotation.json").write_text(text)

    (record,), refused = read(root)

    assert {image.view for image in record.images} == {"T2WI"}
    (item,) = refused.items
    assert (item.item, item.kind) == ("patient MR1, series 2", kind)
    assert said in item.reason
    assert "Jane" not in str(item)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("[]", "expected an object with the key Annotation_info"),
        ('{"Annotation_info": []}', "expected an object with the key Annotation_info"),
    ],
)
def test_an_unreadable_annotation_is_an_error(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels/Annotation.json").write_text(text)

    with pytest.raises(InputError, match=message):
        read(tmp_path)


def test_cut_outs_are_read_by_lesion(tmp_path: Path) -> None:
    lists = tmp_path / FOLDER / "labels"
    lists.mkdir(parents=True)
    (lists / "labels.txt").write_text("MR1  4\nMR1_1\t3\nMR2 0\nMR1 4\n,\n")
    (lists / "labels_val_inaccessible.txt").write_text("MR3 -1\n")
    volume = np.random.default_rng(0).integers(0, 60, (64, 64, 8)).astype(np.uint8)
    for lesion in ("MR1", "MR1_1", "MR3"):
        for phase in PHASES:
            write_volume(tmp_path / FOLDER / "images" / lesion / f"{phase}.nii.gz", volume)
    (tmp_path / FOLDER / "images/MR3/C+A.nii.gz").unlink()

    records, refused = read(tmp_path, most=2)

    assert [(r.record_id, r.group_id, r.split, len(r.images)) for r in records] == [
        ("lld_mmri/MR1", "MR1", "train", 16),
        ("lld_mmri/MR1_1", "MR1", "train", 16),
        ("lld_mmri/MR3", "MR3", "validation", 14),
    ]
    assert [[label.value for label in r.labels] for r in records] == [
        [CLASSES[4]],
        [CLASSES[3]],
        [],
    ]
    assert [(item.item, item.kind, item.file) for item in refused.items] == [
        *((f"line 3, {phase}", "missing_image", "labels.txt") for phase in PHASES),
        ("line 4", "repeated_id", "labels.txt"),
        ("line 5", "invalid_row", "labels.txt"),
        ("line 1, C+A", "missing_image", "labels_val_inaccessible.txt"),
    ]


def test_neither_layout_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no file labels\.txt or labels_val_inaccessible\.txt"):
        read(tmp_path)


def test_the_twin_is_read_whole_and_its_boxes_hold_the_lesions(tmp_path: Path) -> None:
    lld_mmri.write_twin(tmp_path, cases=6, seed=2)

    records, refused = read(tmp_path)

    assert refused.items == []
    assert len(records) == 6
    assert {record.split for record in records} == {"train", "validation"}
    assert {record.images[0].orientation for record in records} == {"LPS", "RAS"}
    for record in records:
        assert {image.view for image in record.images} == set(PHASES)
        assert bool(record.labels) == (record.split == "train")
        image = record.images[0]
        shown = np.asarray(read_image(tmp_path, image)).astype(int)[..., 0]
        (region, *_) = [one for one in record.regions if one.image_id == image.image_id]
        x0, y0, x1, y1 = map(int, region.box_xyxy or ())
        assert shown[(y0 + y1) // 2, (x0 + x1) // 2] > np.median(shown[8:56, 8:56]) + 60


def test_a_yaml_names_the_data_module_and_the_readers_options(tmp_path: Path) -> None:
    import jsonargparse
    import lightning

    root = write(tmp_path, series(0, BOX), series(1))
    settings = {"root": str(root), "options": {"slices": "largest"}}
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(lightning.LightningDataModule, "data")
    text = {"data": {"class_path": "data_modules.LLDMMRIDataModule", "init_args": settings}}

    module = parser.instantiate(parser.parse_object(text)).data

    assert [indices(record) for record in module.records()] == [[3, 3]]
    settings["options"] = {"slice": "largest"}
    module = parser.instantiate(parser.parse_object(text)).data
    with pytest.raises(InputError, match="no option slice; its options: slices, most"):
        list(module.records())
