"""Checkpoint folders: complete or passed over, and never more than are kept."""

import logging
from pathlib import Path

import pytest

from semihvision.training import checkpoint_files as files


def write(dirpath: Path, step: int) -> Path:
    final = files.folder_of(dirpath, step)
    partial = files.begin(final)
    (partial / "weights").write_bytes(b"w" * 100)
    (partial / "progress").write_bytes(b"p" * 10)
    files.finish(partial, final)
    return final


def test_the_newest_complete_one_counts(tmp_path: Path) -> None:
    assert files.newest(tmp_path / "nothing") is None
    for step in (2, 10, 9):
        write(tmp_path, step)
    assert files.newest(tmp_path) == files.folder_of(tmp_path, 10)


@pytest.mark.parametrize("torn", ["cut", "missing", "no list", "broken list"])
def test_a_torn_one_is_named_and_the_one_before_it_taken(
    torn: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    good, bad = write(tmp_path, 1), write(tmp_path, 2)
    if torn == "cut":
        (bad / "weights").write_bytes(b"w" * 99)
    elif torn == "missing":
        (bad / "weights").unlink()
    elif torn == "no list":
        (bad / files.CONTENTS_FILE).unlink()
    else:
        (bad / files.CONTENTS_FILE).write_text("{")
    with caplog.at_level(logging.WARNING):
        assert files.newest(tmp_path) == good
    assert str(bad) in caplog.text
    assert "using the one before it" in caplog.text


def test_one_that_was_never_finished_does_not_count(tmp_path: Path) -> None:
    good = write(tmp_path, 1)
    partial = files.begin(files.folder_of(tmp_path, 2))
    (partial / "weights").write_bytes(b"half")
    assert files.newest(tmp_path) == good
    files.abandon(partial)
    assert list(tmp_path.iterdir()) == [good]


def test_the_oldest_go(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        write(tmp_path, step)
    files.prune(tmp_path, keep=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000000002", "step-000000003"]


def test_what_a_kill_left_unfinished_goes_with_the_oldest(tmp_path: Path) -> None:
    (files.begin(files.folder_of(tmp_path, 7)) / "weights").write_bytes(b"half")
    others = tmp_path / "notes.partial"
    others.mkdir()
    good = write(tmp_path, 9)
    files.prune(tmp_path, keep=2)
    assert sorted(tmp_path.iterdir()) == [others, good]


def test_a_damaged_one_takes_no_good_ones_place(tmp_path: Path) -> None:
    (write(tmp_path, 9) / "weights").unlink()
    good = write(tmp_path, 5)
    files.prune(tmp_path, keep=1)
    assert list(tmp_path.iterdir()) == [good]


def test_a_save_that_is_repeated_replaces_the_older(tmp_path: Path) -> None:
    write(tmp_path, 1)
    assert files.damage(write(tmp_path, 1)) is None
