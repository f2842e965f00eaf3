import json
from pathlib import Path

import pytest

from semihvision.cli import main as entry
from semihvision.core.errors import (
    EXIT_CHECK_FAILED,
    EXIT_DONE,
    EXIT_REFUSED_ITEMS,
    EXIT_UNUSABLE,
    InputError,
    RefusalLog,
)


def test_exit_codes_are_those_of_the_design() -> None:
    assert (EXIT_DONE, EXIT_UNUSABLE, EXIT_REFUSED_ITEMS, EXIT_CHECK_FAILED) == (0, 2, 3, 4)


def test_refused_items_are_counted_and_written_line_by_line(tmp_path: Path) -> None:
    refused = RefusalLog()
    for number in range(3):
        refused.add(f"row {number}", reason="ä: torn", kind="unreadable_image", file="x.csv")
    refused.add("row 9", reason="absent", kind="missing_image")

    refused.write(tmp_path / "r.jsonl")

    assert refused.counts() == {"unreadable_image": 3, "missing_image": 1}
    lines = (tmp_path / "r.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(lines[0]) == {
        "item": "row 0",
        "reason": "ä: torn",
        "kind": "unreadable_image",
        "file": "x.csv",
    }
    assert len(lines) == 4


def test_a_stale_refused_list_is_removed(tmp_path: Path) -> None:
    (tmp_path / "r.jsonl").write_text("{}")

    RefusalLog().write(tmp_path / "r.jsonl")

    assert not (tmp_path / "r.jsonl").exists()


def test_input_errors_end_with_2_and_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert entry.main(["records", "show", "absent.parquet"]) == EXIT_UNUSABLE
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == (
        "semihvision records: absent.parquet: no such file; make it with `semihvision prepare`\n"
    )


def test_an_error_has_a_kind() -> None:
    assert InputError("x").kind == "unusable"
    assert InputError("x", kind="torn").kind == "torn"
