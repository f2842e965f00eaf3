"""Records of a demo twin are known as synthetic, from the file to the export; others are not."""

import json
from pathlib import Path

import pytest
from hand_written_records import ALL

from data_modules import vqa_rad
from data_modules.reading import reader_of
from semihvision.cli.main import main
from semihvision.core.errors import InputError, RefusalLog
from semihvision.core.lineage import Contents
from semihvision.core.llava import export_lines
from semihvision.core.parquet import read_records, write_records
from semihvision.core.record import Provenance
from semihvision.core.synthetic import SYNTHETIC, as_synthetic, is_marked

RECORDS = [make() for make in ALL]


def twin(folder: Path, *more: str) -> Path:
    argv = ["demo-data", "--out", str(folder), "--source", "vqa_rad", "--cases", "3", *more]
    assert main(argv) == 0
    return folder / "vqa_rad"


@pytest.mark.parametrize("more", [(), ("--with-faults",)])
def test_every_record_of_a_twin_says_so(more: tuple[str, ...], tmp_path: Path) -> None:
    root = twin(tmp_path, *more)
    records = list(reader_of("vqa_rad")(root, RefusalLog()))
    assert records
    assert is_marked(root)
    assert all(record.is_synthetic for record in records)
    assert {record.producers()[record.qa[0].provenance_id] for record in records} == {"demo"}


def test_what_is_not_marked_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    vqa_rad.write_twin(tmp_path / "own", cases=3, seed=0)
    records = list(reader_of("vqa_rad")(tmp_path / "own", RefusalLog()))
    assert records == list(vqa_rad.read(tmp_path / "own", RefusalLog()))
    assert not any(record.is_synthetic for record in records)


def test_it_stays_through_parquet_and_export(tmp_path: Path) -> None:
    made = [as_synthetic(record) for record in RECORDS]
    write_records(tmp_path / "made.parquet", made)
    read = list(read_records(tmp_path / "made.parquet"))
    assert read == made
    assert [as_synthetic(record) for record in read] == made
    rows = [json.loads(line) for line in export_lines(made)]
    assert rows
    assert all(row["record"]["provenance"][0]["producer"] == "demo" for row in rows)
    assert not any('"demo"' in line for line in export_lines(RECORDS))


def test_a_model_card_counts_them_apart() -> None:
    contents = Contents()
    for record in (RECORDS[0], as_synthetic(RECORDS[0])):
        contents.add(record)
    assert contents.document()["synthetic"] == {RECORDS[0].source: 1}
    assert contents.document()["sources"][RECORDS[0].source] == 2


def test_the_origin_is_not_to_be_feigned() -> None:
    other = Provenance(provenance_id="demo twin", producer="human")
    record = RECORDS[0].edited(provenance=(*RECORDS[0].provenance, other))
    with pytest.raises(InputError, match="reserved"):
        as_synthetic(record)


def test_commands_say_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, file = twin(tmp_path), str(tmp_path / "x.parquet")
    assert main(["prepare", "vqa_rad", "--root", str(root), "--out", file]) == 0
    for argv in (
        ["records", "stats", file],
        ["records", "show", file],
        ["doctor", "vqa_rad", "--root", str(root)],
    ):
        capsys.readouterr()
        main(argv)
        assert SYNTHETIC in capsys.readouterr().out
    main(["records", "stats", file, "--json"])
    assert json.loads(capsys.readouterr().out)["by_origin"] == {SYNTHETIC: 3}
