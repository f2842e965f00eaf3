import errno
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from semihvision.core.errors import InputError
from semihvision.core.writable import require_writable_file, require_writable_folder

BOTH = pytest.mark.parametrize("require", [require_writable_file, require_writable_folder])


@BOTH
def test_a_place_below_missing_folders_is_fine_and_stays_missing(
    require: Callable[[Path], None], tmp_path: Path
) -> None:
    require(tmp_path / "a" / "b" / "c.parquet")

    assert list(tmp_path.iterdir()) == []


@BOTH
def test_a_relative_place_is_named_as_the_user_named_it(
    require: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("README.md").touch()

    require(Path("new"))
    with pytest.raises(
        InputError, match=r"^README.md/x: cannot be written: a file is in the way: README.md;"
    ):
        require(Path("README.md/x"))


def test_older_output_is_no_obstacle_but_the_other_kind_is(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()

    require_writable_file(file)
    require_writable_folder(tmp_path)
    with pytest.raises(InputError, match="a folder has this name"):
        require_writable_file(tmp_path)
    with pytest.raises(InputError, match="a file is in the way"):
        require_writable_folder(file)


def test_a_link_to_nothing_cannot_become_a_folder(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "gone")

    with pytest.raises(InputError, match="a file is in the way"):
        require_writable_folder(link)


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.EACCES, "no permission to write"),
        (errno.EROFS, "read-only file system"),
        (errno.ENOSPC, "no space left on device"),
    ],
)
@BOTH
def test_what_the_system_refuses_is_said_with_its_reason(
    require: Callable[[Path], None],
    number: int,
    reason: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(**_: object) -> NoReturn:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)

    with pytest.raises(InputError, match=f"out: cannot be written: {reason} in {tmp_path};"):
        require(tmp_path / "out")


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write everywhere")
@BOTH
def test_a_folder_without_permission(require: Callable[[Path], None], tmp_path: Path) -> None:
    tmp_path.chmod(0o500)

    with pytest.raises(InputError, match="no permission to write"):
        require(tmp_path / "out")


@BOTH
def test_a_name_too_long_for_the_file_system(
    require: Callable[[Path], None], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="cannot be written: file name too long"):
        require(tmp_path / ("x" * 300))
