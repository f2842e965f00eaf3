from pathlib import Path

import pytest
from PIL import Image

from data_modules import folder
from semihvision.core.errors import InputError, RefusalLog
from semihvision.core.record import Record


def read(root: Path) -> tuple[list[Record], RefusalLog]:
    refused = RefusalLog()
    return list(folder.read(root, refused)), refused


def test_the_first_folder_is_the_group(tmp_path: Path) -> None:
    for name in ("b/1/x.png", "b/2/y.JPG", "a.jpeg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4)).save(tmp_path / name)

    records, refused = read(tmp_path)

    assert refused.items == []
    assert [(record.record_id, record.group_id) for record in records] == [
        ("folder/a.jpeg", "a.jpeg"),
        ("folder/b/1/x.png", "b"),
        ("folder/b/2/y.JPG", "b"),
    ]
    assert all(not (r.texts or r.qa or r.labels or r.regions or r.modality) for r in records)


def test_what_is_no_image_is_refused_by_name_hidden_files_are_left_alone(tmp_path: Path) -> None:
    Image.new("L", (4, 4)).save(tmp_path / "ok.png")
    (tmp_path / "torn.png").write_bytes((tmp_path / "ok.png").read_bytes()[:40])
    (tmp_path / "scan.dcm").write_bytes(b"x")
    Image.new("L", (4, 4)).save(tmp_path / "wrong.png", "bmp")
    (tmp_path / ".DS_Store").write_bytes(b"x")
    outside = tmp_path.parent / "outside.png"
    Image.new("L", (4, 4)).save(outside)
    (tmp_path / "link.png").symlink_to(outside)

    records, refused = read(tmp_path)

    assert [record.record_id for record in records] == ["folder/ok.png"]
    assert sorted((item.item, item.kind) for item in refused.items) == [
        ("link.png", "path_outside_root"),
        ("scan.dcm", "image_format"),
        ("torn.png", "unreadable_image"),
        ("wrong.png", "image_format"),
    ]


def test_an_empty_or_absent_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no files; expected PNG or JPEG"):
        read(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        read(tmp_path / "absent")


def test_the_twin_is_bare_images(tmp_path: Path) -> None:
    folder.write_twin(tmp_path, cases=6, seed=0)

    records, refused = read(tmp_path)

    assert refused.items == []
    assert len({record.group_id for record in records}) == 6
    assert {record.images[0].format for record in records} == {"png", "jpeg"}
