"""Every source with a faulty twin: what was planted is refused, and nothing else is lost."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from data_modules.twins.faults import faults_writer
from semihvision.cli.demo_data import faults_file, with_twin
from semihvision.cli.main import main
from semihvision.core.card import CARD_MODULES
from semihvision.core.parquet import read_records

SOURCES = [name for name in CARD_MODULES if faults_writer(name)]
MEANT = ("item", "kind", "file")


def test_every_source_has_a_twin_and_a_faulty_one() -> None:
    assert SOURCES == with_twin() == list(CARD_MODULES)


@pytest.mark.slow
@pytest.mark.parametrize(("more", "most_mb"), [([], 25), (["--with-faults"], 40)])
def test_all_twins_together_stay_small(more: list[str], most_mb: int, tmp_path: Path) -> None:
    assert main(["demo-data", "--out", str(tmp_path), *more]) == 0

    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= most_mb * 1_000_000


@pytest.mark.parametrize("source", SOURCES)
def test_what_was_planted_is_refused_and_nothing_else(source: str, tmp_path: Path) -> None:
    out = tmp_path / "x.parquet"
    argv = ["demo-data", "--out", str(tmp_path), "--source", source, "--cases", "6"]
    assert main([*argv, "--with-faults"]) == 0
    twin: dict[str, Any] = json.loads(faults_file(tmp_path / source).read_text())

    assert main(["prepare", source, "--root", str(tmp_path / source), "--out", str(out)]) == 3

    lines = out.with_suffix(".refused.jsonl").read_text(encoding="utf-8").splitlines()
    refused = [json.loads(line) for line in lines]
    expected = Counter(tuple(fault[name] for name in MEANT) for fault in twin["planted"])
    assert Counter(tuple(item[name] for name in MEANT) for item in refused) == expected
    assert all(item["reason"] and item["file"] for item in refused)
    accepted = sum(
        1 if twin["unit"] == "records" else len(getattr(record, twin["unit"]))
        for record in read_records(out)
    )
    assert accepted > 0
    assert accepted + sum(fault["lost"] for fault in twin["planted"]) == twin["found"]


def test_faulty_twins_are_the_same_for_the_same_seed(tmp_path: Path) -> None:
    for name in ("a", "b"):
        argv = ["demo-data", "--out", str(tmp_path / name), "--cases", "2", "--with-faults"]
        assert main([*argv, "--source", "deeplesion"]) == 0
    first, second = (
        {
            path.relative_to(tmp_path / name): path.read_bytes()
            for path in sorted((tmp_path / name).rglob("*"))
            if path.is_file()
        }
        for name in ("a", "b")
    )
    assert first == second
