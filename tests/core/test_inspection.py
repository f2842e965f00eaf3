from pathlib import Path

import pytest
from PIL import Image

from data_modules import deeplesion
from data_modules.reading import reader_of
from semihvision.core import images
from semihvision.core.components import Component
from semihvision.core.errors import InputError
from semihvision.core.images import examine, glance
from semihvision.core.inspection import dry_run, look_for, looks_damaged

TABLE = Component(name="table", patterns=("rows.csv", "rows.csv.gz"), unit="rows", published=3)


@pytest.fixture
def twin(tmp_path: Path) -> Path:
    deeplesion.write_twin(tmp_path, cases=3, seed=0)
    return tmp_path


@pytest.mark.parametrize(
    ("content", "status", "number"),
    [
        ("a,b\n1,2\n3,4\n5,6\n", "present", 3),
        ("a,b\n1,2\n3,4\n5,6\n7,8\n", "present", 4),
        ('a,b\n1,"2\n3"\n3\n', "partial", 2),
        ("a,b\n", "partial", 0),
        ("", "corrupt", 0),
        ('a,b\n1,"2', "corrupt", 0),
        (None, "missing", 0),
    ],
)
def test_rows_of_tables(content: str | None, status: str, number: int, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "rows.csv").write_text(content)

    found = look_for(TABLE, tmp_path)

    assert (found.status, found.number) == (status, number)
    assert found.num_bytes == len(content or "")
    assert found.damaged == (("rows.csv",) if status == "corrupt" else ())


@pytest.mark.parametrize(
    ("name", "content", "number"),
    [("x.json", "[{}, {}]", 2), ("x.jsonl", "{}\n{}\n{}\n", 3), ("x.json", "[{}, {", 2)],
)
def test_rows_of_json(name: str, content: str, number: int, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    part = Component(name="x", patterns=("x.*",), unit="rows")

    assert look_for(part, tmp_path).number == number


def test_files_and_folders(tmp_path: Path) -> None:
    for name in ("a/1.png", "a/2.png", "b/1.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("L", (4, 4)).save(tmp_path / name)
    told: list[int] = []

    files = look_for(
        Component(name="x", patterns=("*/*.png", "a/*.png"), published=4),
        tmp_path,
        lambda what, number: told.append(number),
    )
    folders = look_for(Component(name="x", patterns=("*",), unit="folders"), tmp_path)

    assert (files.status, files.number, sum(told)) == ("partial", 3, 3)
    assert files.num_bytes == sum(path.stat().st_size for path in tmp_path.glob("*/*.png"))
    assert (folders.status, folders.number, folders.num_bytes) == ("present", 2, 0)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_what_was_cut_off_is_damaged(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"x{suffix}"
    Image.effect_noise((60, 60), 50).save(path)
    whole = path.read_bytes()

    assert not looks_damaged(path)
    path.write_bytes(whole + b"camera's remark")
    assert not looks_damaged(path)
    for damage in (b"", whole[:-30], b"<html>" + whole):
        path.write_bytes(damage)
        assert looks_damaged(path)


def test_a_dry_run_decodes_and_hashes_nothing(twin: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*arguments: object) -> None:
        raise AssertionError

    monkeypatch.setattr(Image.Image, "load", never)
    monkeypatch.setattr(images, "examine", never)
    monkeypatch.setattr(images, "_digest", never)

    found = dry_run(reader_of("deeplesion"), twin)

    assert (found.records, found.images, found.unusable) == (3, 9, "")
    assert found.refused.items == []


def test_a_dry_run_says_what_would_be_lost(twin: Path) -> None:
    keys = sorted((twin / "Images_png").glob("000001_*/*.png"))
    keys[1].write_bytes(keys[1].read_bytes()[:-40])

    found = dry_run(reader_of("deeplesion"), twin)

    assert found.records == 2
    assert found.refused.counts() == {"unreadable_image": 2}  # one a lesion
    assert found.refused.items[0].item == "line 2"


def test_an_unusable_root_is_a_finding(tmp_path: Path) -> None:
    found = dry_run(reader_of("deeplesion"), tmp_path)

    assert found.records == 0
    assert "no file DL_info.csv" in found.unusable


def test_headers_and_pixels_agree_on_the_size(medical_files: Path) -> None:
    """Whatever decodes has the size its header was said to show."""
    compared = 0
    for path in sorted(medical_files.glob("*_test_*/**/*")):
        known = {"axis": "axial", "index": 3} if ".nii" in path.name else {}
        try:
            found = examine(path, path.name, known)
        except (InputError, IsADirectoryError):
            continue
        seen = glance(path, path.name, known)
        assert {name: found[name] for name in seen} == seen, path.name
        compared += 1
    assert compared >= 60
