import json
from pathlib import Path

import pytest
from hand_written_records import ALL, eurorad_case

from semihvision.cli.main import main
from semihvision.core.card import CARD_MODULES, card
from semihvision.core.parquet import write_records
from semihvision.core.record import Record, Text


@pytest.fixture
def five(tmp_path: Path) -> Path:
    path = tmp_path / "five.parquet"
    write_records(path, [make() for make in ALL])
    return path


def said(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().out


def test_demo_data_writes_each_twin_to_its_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["demo-data", "--out", str(tmp_path), "--cases", "3", "--json"]

    assert main([*argv, "--source", "folder", "--source", "eurorad"]) == 0

    found = json.loads(said(capsys))
    assert [one["source"] for one in found] == ["folder", "eurorad"]
    assert (tmp_path / "eurorad" / "cases.jsonl").is_file()
    assert {path.name for path in tmp_path.iterdir()} == {"folder", "eurorad"}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--source", "unknown"], "unknown source 'unknown'"),
        (["--cases", "0"], "expected cases >= 1"),
        (["--seed", "-1"], "expected cases >= 1 and seed >= 0"),
    ],
)
def test_demo_data_that_cannot_be_written(
    more: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["demo-data", "--out", str(tmp_path), *more]) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("more", [[], ["--with-faults"]])
def test_a_source_without_a_twin_is_named(
    more: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delattr("data_modules.padchest.write_twin")
    monkeypatch.setattr("data_modules.twins.faults.find_spec", lambda name: None)

    assert main(["demo-data", "--out", str(tmp_path), "--source", "padchest", *more]) == 2
    assert "padchest has no twin yet; those with one: " in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_demo_data_with_faults_lists_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["demo-data", "--out", str(tmp_path), "--source", "deeplesion", "--with-faults"]

    assert main([*argv, "--cases", "1", "--json"]) == 0

    (row,) = json.loads(said(capsys))
    assert row["faults"] == str(tmp_path / "deeplesion.faults.json")
    twin = json.loads(Path(row["faults"]).read_text())
    assert twin["unit"] == "regions"
    assert "truncated image" in {fault["fault"] for fault in twin["planted"]}


def test_demo_data_writes_over_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "mine.png").touch()

    assert main(["demo-data", "--out", str(tmp_path), "--source", "folder"]) == 2
    assert "already holds files" in capsys.readouterr().err


def test_sources_lists_every_card(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sources", "--json"]) == 0

    found = {one["name"]: one for one in json.loads(said(capsys))}
    assert set(found) == set(CARD_MODULES)
    assert found["eurorad"]["earliest_date"] == "2015-07-06"


def test_sources_shows_one_card_in_full(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sources", "mimic_cxr"]) == 0
    shown = " ".join(said(capsys).replace("│", " ").split())
    assert "your consent + zero_retention + no_training + no_human_review" in shown
    assert "notice of 24 September 2025" in shown

    assert main(["sources", "nowhere"]) == 2


def test_show_cuts_long_texts_and_takes_brackets_as_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    long = Text(text_id="long", kind="report", text="[/b] word " * 99, provenance_id="owner")
    path = tmp_path / "one.parquet"
    write_records(path, [eurorad_case().edited(texts=(long,))])

    assert main(["records", "show", str(path)]) == 0

    shown = said(capsys)
    assert "eurorad/18000" in shown
    assert "[/b] word" in shown
    assert shown.count("word") < 10


def test_show_takes_a_number_and_an_id(five: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["records", "show", str(five), "--number", "2", "--json"]) == 0
    assert [one["source"] for one in json.loads(said(capsys))] == ["eurorad", "lld_mmri"]

    assert main(["records", "show", str(five), "--id", "lld_mmri/MR1", "--json"]) == 0
    (one,) = json.loads(said(capsys))
    assert len(one["images"]) == 8


def test_stats_count_by_everything_that_matters(
    five: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["records", "stats", str(five), "--json"]) == 0

    found = json.loads(said(capsys))
    assert (found["records"], found["images"], found["regions"]) == (5, 16, 10)
    assert found["by_modality"] == {"mr": 2, "not stated": 2, "ct": 1}
    assert found["by_split"] == {"not stated": 3, "train": 1, "validation": 1}
    assert found["by_has"] == {
        "human text": 2,
        "regions or labels": 2,
        "images only": 1,
    }
    assert found["by_licence"]["CC-BY-4.0"] == 2
    assert found["questions"]["total"] == 50 + 1 + 3
    assert found["questions"]["by_split"]["test"] == {"OPEN": 1}
    assert (found["test_images"], found["test_images_also_in_training"]) == (1, 1)

    assert main(["records", "stats", str(five)]) == 0
    assert "human text" in said(capsys)


def test_export_writes_lines_and_says_what_had_none(
    five: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out" / "x.jsonl"

    assert main(["records", "export", str(five), "--out", str(out), "--json"]) == 0

    found = json.loads(said(capsys))
    assert (found["records"], found["lines"], found["records_without_samples"]) == (5, 55, 2)
    assert found["not_to_be_passed_on"] == ["folder", "lld_mmri"]
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert len(rows) == 55
    assert Record.model_validate(rows[0]["record"]).qa[0].qa_id == "fig 1 q1"


def test_one_split_can_be_exported_and_the_counts_say_which_are_there(
    five: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export = ["records", "export", str(five), "--json", "--out"]
    assert main([*export, str(tmp_path / "all.jsonl")]) == 0
    whole = json.loads(said(capsys))["lines_by_split"]
    assert sum(whole.values()) == 55
    assert whole["test"] == 1

    out = tmp_path / "test.jsonl"
    assert main([*export, str(out), "--split", "test"]) == 0
    assert json.loads(said(capsys))["lines_by_split"] == {"test": 1}
    (row,) = map(json.loads, out.read_text(encoding="utf-8").splitlines())
    assert row["record"]["qa"][0]["split"] == "test"


def test_an_unknown_id_is_no_empty_answer(five: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["records", "show", str(five), "--id", "nix"]) == 2
    assert "no record 'nix'" in capsys.readouterr().err


def test_an_unknown_verb_lists_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["records", "burn"]) == 2
    assert "expected one of: show, stats, export" in capsys.readouterr().err


def test_stats_by_licence_say_what_may_be_done(
    five: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["records", "stats", str(five), "--licences", "--json"]) == 0
    rows = {tuple(row["sources"]): row for row in json.loads(said(capsys))}

    assert sum(row["records"] for row in rows.values()) == len(ALL)
    eurorad = rows[("eurorad",)]
    assert eurorad["to_a_hosted_model"] == "your consent"
    assert eurorad["redistribution"] == card("eurorad").redistribution

    assert main(["records", "stats", str(five), "--licences"]) == 0
    shown = said(capsys)
    assert "passing on" in shown
    assert "zero_ret" not in shown  # a table would cut it within a word
    assert "no human" in shown
