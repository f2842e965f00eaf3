"""`demo-data` for every source: small together, taken whole by `prepare`, known as synthetic."""

from pathlib import Path

import pytest

from semihvision.cli.demo_data import with_twin, write_twins
from semihvision.cli.main import main
from semihvision.core.card import CARD_MODULES
from semihvision.core.parquet import read_records

MOST_BYTES = 25_000_000


def prepared_whole(source: str, root: Path, out: Path) -> None:
    argv = ["prepare", source, "--root", str(root), "--out", str(out), "--workers", "1"]
    assert main(argv) == 0
    assert not out.with_suffix(".refused.jsonl").exists()
    assert all(record.is_synthetic for record in read_records(out))


def test_every_source_has_a_twin() -> None:
    assert set(with_twin()) == set(CARD_MODULES)


@pytest.mark.parametrize("source", CARD_MODULES)
def test_a_twin_is_taken_whole_and_known_as_synthetic(source: str, tmp_path: Path) -> None:
    (root,) = write_twins(tmp_path, [source], cases=2, seed=0).values()
    prepared_whole(source, root, tmp_path / "out.parquet")


@pytest.mark.slow
def test_all_twins_of_the_usual_size_together(tmp_path: Path) -> None:
    assert main(["demo-data", "--out", str(tmp_path / "all")]) == 0
    files = [path for path in (tmp_path / "all").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= MOST_BYTES
    for root in (tmp_path / "all").iterdir():
        prepared_whole(root.name, root, tmp_path / f"{root.name}.parquet")
