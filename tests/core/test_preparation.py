import json
import logging
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from semihvision.core import images, prefetch, preparation, probe_cache
from semihvision.core.errors import InputError, RefusalLog
from semihvision.core.images import probe_image
from semihvision.core.parquet import read_records
from semihvision.core.preparation import Preparation, Prepared, prepare_records
from semihvision.core.record import Licence, Record


def read(root: Path, refused: RefusalLog) -> Iterator[Record]:
    """One record for every name in list.txt; an unusable image refuses its record."""
    for name in (root / "list.txt").read_text().split():
        try:
            image = probe_image(root, name, image_id="image")
        except InputError as error:
            refused.add(name, reason=str(error), kind=error.kind, file="list.txt")
            continue
        yield Record(
            record_id=f"x/{name}",
            source="x",
            group_id=name,
            images=(image,),
            licence=Licence(name="CC0-1.0"),
        )


def write_source(root: Path, number: int) -> None:
    root.mkdir(exist_ok=True)
    names = [f"{k:03d}.png" for k in range(number)]
    for k, name in enumerate(names):
        Image.new("L", (8 + k % 5, 9), k % 256).save(root / name)
    (root / "list.txt").write_text("\n".join(names))


@pytest.fixture
def task(tmp_path: Path) -> Preparation:
    write_source(tmp_path / "root", 6)
    return Preparation(
        name="x", reader=read, options={}, root=tmp_path / "root", out=tmp_path / "x.parquet"
    )


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the images that this process decodes."""
    names: list[str] = []

    def counted(path: Path, relative: str, known: dict[str, Any]) -> dict[str, Any]:
        names.append(relative)
        return images.examine(path, relative, known)

    monkeypatch.setattr(probe_cache, "examine", counted)
    return names


def touch(path: Path, data: bytes) -> None:
    """Other bytes; and another time, since that of the first may be of the same tick."""
    path.write_bytes(data)
    os.utime(path, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns + 10**9))


def test_nothing_is_decoded_twice(task: Preparation, decoded: list[str]) -> None:
    first = prepare_records(task)
    made = task.out.read_bytes()
    second = prepare_records(task)

    assert (first.images_examined, first.is_unchanged) == (6, False)
    assert (second.images_examined, second.is_unchanged) == (0, True)
    assert (second.counts, second.refused) == (first.counts, first.refused)
    assert len(decoded) == 6
    assert task.out.read_bytes() == made


def test_only_what_has_changed_is_decoded_again(task: Preparation, decoded: list[str]) -> None:
    prepare_records(task)
    decoded.clear()
    touch(task.root / "002.png", (task.root / "003.png").read_bytes())
    Image.new("L", (30, 40)).save(task.root / "new.png")
    touch(task.root / "list.txt", (task.root / "list.txt").read_bytes() + b"\nnew.png")

    done = prepare_records(task)

    assert decoded == ["002.png", "new.png"]
    assert (done.images_examined, done.is_unchanged) == (2, False)
    by_name = {record.group_id: record.images[0] for record in read_records(task.out)}
    assert by_name["002.png"].sha256 == by_name["003.png"].sha256
    assert (by_name["new.png"].width, by_name["new.png"].height) == (30, 40)


@pytest.mark.parametrize("change", ["out", "refused", "deleted", "link"])
def test_outputs_and_links_count_as_well(
    change: str, task: Preparation, decoded: list[str], tmp_path: Path
) -> None:
    prepare_records(task)
    made = task.out.read_bytes()
    if change == "link":
        (task.root / "other").symlink_to(tmp_path)
    elif change == "deleted":
        task.out.unlink()
    else:
        touch({"out": task.out, "refused": task.refused_path}[change], b"something else")

    done = prepare_records(task)

    assert not done.is_unchanged
    assert len(decoded) == 6
    assert task.out.read_bytes() == made
    assert not task.refused_path.exists()


def test_verify_finds_what_size_and_time_hide(task: Preparation, decoded: list[str]) -> None:
    prepare_records(task)
    decoded.clear()
    path = task.root / "001.png"
    before = path.stat()
    Image.new("L", (9, 9), 77).save(path)
    other = path.read_bytes()
    path.write_bytes(other[: before.st_size].ljust(before.st_size, b"\0"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    assert prepare_records(task).is_unchanged
    found = prepare_records(task, verify=True)

    assert decoded == ["001.png"]
    assert (found.images_examined, found.is_unchanged) == (1, False)


def test_a_refusal_is_remembered_and_said_again(task: Preparation, decoded: list[str]) -> None:
    touch(task.root / "004.png", (task.root / "004.png").read_bytes()[:40])
    first = prepare_records(task)
    lines = task.refused_path.read_text()
    decoded.clear()
    task.out.unlink()

    second = prepare_records(task)

    assert first.refused == second.refused == {"unreadable_image": 1}
    assert task.refused_path.read_text() == lines
    assert decoded == []


@pytest.mark.parametrize(("changed", "decoded_again"), [("imaging", 6), ("counts.py", 0)])
def test_other_code_makes_the_files_anew(
    changed: str, decoded_again: int, task: Preparation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And other code that reads images forgets what it found."""
    prepare_records(task)
    kept = preparation.code_fingerprint

    def edited(*places: Path) -> str:
        code = [path for place in places for path in [place, *place.rglob("*")]]
        return kept(*places) + changed * any(path.name == changed for path in code)

    monkeypatch.setattr(preparation, "code_fingerprint", edited)

    done = prepare_records(task)

    assert (done.images_examined, done.is_unchanged) == (decoded_again, False)


def test_files_that_options_name_are_input(task: Preparation, tmp_path: Path) -> None:
    named = tmp_path / "columns.yaml"
    named.write_text("a: b")
    task = Preparation(**{**vars(task), "options": {"columns": str(named)}})
    prepare_records(task)

    assert prepare_records(task).is_unchanged
    touch(named, b"c: d")
    assert not prepare_records(task).is_unchanged


def test_an_interrupted_run_continues(task: Preparation, decoded: list[str]) -> None:
    def stopped(root: Path, refused: RefusalLog) -> Iterator[Record]:
        for number, record in enumerate(read(root, refused)):
            if number == 3:
                raise KeyboardInterrupt
            yield record

    with pytest.raises(KeyboardInterrupt):
        prepare_records(Preparation(**{**vars(task), "reader": stopped}))
    assert not task.out.exists()
    assert len(decoded) == 4

    done = prepare_records(task)

    assert done.images_examined == 2
    assert len(decoded) == 6
    assert len(list(read_records(task.out))) == 6


def in_a_pool(task: Preparation, monkeypatch: pytest.MonkeyPatch) -> tuple[Prepared, list[Any]]:
    said: list[Any] = []
    monkeypatch.setattr(prefetch, "POOL_AFTER_S", 0.0)
    monkeypatch.setattr(prefetch, "WORTH_S", 0.0)
    monkeypatch.setattr(prefetch, "CHUNK", 2)
    monkeypatch.setattr(prefetch, "HEAD_START", 2)
    done = prepare_records(task, workers=2, told=lambda *words: said.append(words))
    return done, said


def test_a_pool_makes_the_same_files(
    tmp_path: Path, task: Preparation, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_source(task.root, 30)
    touch(task.root / "011.png", b"no image")
    (task.root / "012.png").unlink()
    (task.root / "list.txt").write_text((task.root / "list.txt").read_text() + "\n013.png")
    alone = Preparation(**{**vars(task), "out": tmp_path / "alone.parquet"})
    expected = prepare_records(alone)

    done, said = in_a_pool(task, monkeypatch)

    assert (done.counts, done.refused) == (expected.counts, expected.refused)
    assert done.refused == {"missing_image": 1, "unreadable_image": 1, "repeated_id": 1}
    assert task.out.read_bytes() == alone.out.read_bytes()
    assert task.refused_path.read_bytes() == alone.refused_path.read_bytes()
    assert done.images_examined == 29
    assert said == [("records", 1)] * 28


def read_twice(root: Path, refused: RefusalLog) -> Iterator[Record]:
    """Asks for a second image by the hash of the first, which no header tells; and says so."""
    for record in read(root, refused):
        logging.getLogger("reader").warning("%s has a second image", record.record_id)
        name = f"{int(record.images[0].sha256 or '0', 16) % 10:03d}.png"
        second = probe_image(root, name, image_id="second", view="beside")
        yield record.edited(images=(*record.images, second))


def test_a_misled_scout_changes_nothing(
    tmp_path: Path,
    task: Preparation,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    write_source(task.root, 30)
    task = Preparation(**{**vars(task), "reader": read_twice})
    alone = Preparation(**{**vars(task), "out": tmp_path / "alone.parquet"})
    expected = prepare_records(alone)

    caplog.clear()
    done, _ = in_a_pool(task, monkeypatch)

    assert len(caplog.records) == 30
    assert done.counts == expected.counts
    assert task.out.read_bytes() == alone.out.read_bytes()
    # The scout's wrong guess, 000.png, is among the ten that the reader asks for.
    assert done.images_examined == expected.images_examined


def test_unusable_input_is_said_once_by_the_reader(
    task: Preparation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(root: Path, refused: RefusalLog) -> Iterator[Record]:
        yield from read(root, refused)
        raise InputError("line 7: unreadable table")

    with pytest.raises(InputError, match="line 7: unreadable table"):
        in_a_pool(Preparation(**{**vars(task), "reader": broken}), monkeypatch)

    assert not task.out.exists()


def kill_this_process(request: probe_cache.Request) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_worker_is_said(task: Preparation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefetch, "_answers", kill_this_process)

    with pytest.raises(InputError, match="fewer --workers: finished work is kept"):
        in_a_pool(task, monkeypatch)


def test_a_damaged_cache_is_named(task: Preparation) -> None:
    task.cache_path.write_bytes(b"no database" * 1000)

    with pytest.raises(InputError, match=r"x\.prepare\.sqlite: .*delete it"):
        prepare_records(task)


def test_a_cache_that_cannot_be_made_is_named(task: Preparation) -> None:
    task.cache_path.mkdir()

    with pytest.raises(InputError, match=r"x\.prepare\.sqlite: cannot be opened or made"):
        prepare_records(task)


def test_the_cache_holds_no_pixels_and_no_texts(task: Preparation) -> None:
    prepare_records(task)

    with sqlite3.connect(task.cache_path) as database:
        rows = database.execute("SELECT found FROM probes").fetchall()
    database.close()
    assert {tuple(sorted(json.loads(row[0]))) for row in rows} == {
        ("format", "height", "sha256", "width")
    }


ORPHANS = """
import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from semihvision.core import prefetch

pool = ProcessPoolExecutor(
    1, mp_context=get_context("spawn"), initializer=prefetch._follow_parent
)
print(pool.submit(os.getpid).result(), flush=True)
os.kill(os.getpid(), 9)
"""


@pytest.mark.slow
def test_workers_do_not_outlive_a_killed_run() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ORPHANS], capture_output=True, check=False, timeout=60
    )

    worker = Path("/proc", done.stdout.decode().strip())
    assert done.returncode == -signal.SIGKILL
    end = time.monotonic() + 30
    while worker.exists() and time.monotonic() < end:
        time.sleep(0.05)
    assert not worker.exists()
