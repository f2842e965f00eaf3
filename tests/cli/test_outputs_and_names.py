"""What every command says of a place that cannot be written to, and of a name that is not known."""

import json
from pathlib import Path

import pytest
from hand_written_records import ALL

from semihvision.cli.main import main
from semihvision.cli.output import print_table
from semihvision.core.parquet import write_records

WRITING = {
    "prepare": ["prepare", "folder", "--root", "{work}"],
    "demo-data": ["demo-data"],
    "records export": ["records", "export", "{records}"],
    "records browse": ["records", "browse", "{records}"],
    "index build": ["index", "build", "--records", "{records}"],
    "annotate run": ["annotate", "run", "--records", "{records}"],
    "annotate export": ["annotate", "export", "{records}"],
    "convert to-hf": ["convert", "to-hf", "--model", "{work}"],
    "convert from-cambrian": ["convert", "from-cambrian", "--checkpoint", "{work}"],
    "evaluate": ["evaluate", "--model", "{work}", "--benchmarks.vqa_rad", "{work}"],
}


@pytest.fixture
def records(tmp_path: Path) -> Path:
    path = tmp_path / "five.parquet"
    write_records(path, [make() for make in ALL])
    return path


@pytest.mark.parametrize("command", WRITING)
def test_a_file_in_the_way_of_the_output_ends_with_2_before_any_work(
    command: str, records: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "README.md").touch()
    before = sorted(tmp_path.iterdir())
    argv = [one.format(work=tmp_path, records=records) for one in WRITING[command]]

    assert main([*argv, "--out", str(tmp_path / "README.md" / "x.parquet")]) == 2

    said = capsys.readouterr().err
    assert "README.md/x.parquet" in said
    assert f"cannot be written: a file is in the way: {tmp_path / 'README.md'}" in said
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("split", "said"),
    [
        ("trian", "no split 'trian' in this file; found test, train, validation; did you mean tr"),
        ("val", "no split 'val' in this file; found test, train, validation; did you mean valid"),
        ("zzz", "no split 'zzz' in this file; found test, train, validation\n"),
    ],
)
def test_a_split_that_is_not_there_leaves_the_older_export(
    split: str, said: str, records: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "x.jsonl"
    out.write_text("older")

    assert main(["records", "export", str(records), "--out", str(out), "--split", split]) == 2

    assert said in capsys.readouterr().err
    assert out.read_text() == "older"


@pytest.mark.parametrize(
    ("more", "whose"), [([], "conversations ("), (["--split", "train"], "of split 'train' (")]
)
def test_an_export_of_nothing_says_why_and_ends_with_3(
    more: list[str], whose: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bare = tmp_path / "bare.parquet"
    made = [make() for make in ALL]
    silent = [one.edited(split="train") for one in made if not one.qa and not one.conversations]
    assert len(silent) == 2
    write_records(bare, silent)
    out = str(tmp_path / "x.jsonl")

    assert main(["records", "export", str(bare), "--json", "--out", out, *more]) == 3

    said = capsys.readouterr()
    assert json.loads(said.out)["lines"] == 0
    assert "has no questions or conversations" in said.err
    assert f"{whose}2 records)" in said.err
    assert f"semihvision annotate run --records {bare}" in said.err


def test_a_mistyped_command_or_verb_is_told_in_two_lines(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["prepar"]) == 2
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "semihvision: unknown command 'prepar'; did you mean prepare?"
    assert len(said) == 2

    assert main(["records", "exprot"]) == 2
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "semihvision records: unknown verb 'exprot'; did you mean export?"
    assert len(said) == 2

    assert main(["zzz"]) == 2
    assert "demo-data" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["evaluate", "chat", "convert to-hf"])
def test_the_folder_of_a_run_is_no_model_but_its_model_is_named(
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stage3" / "model").mkdir(parents=True)
    (tmp_path / "stage3" / "model" / "config.json").write_text("{}")
    assert main(["demo-data", "--out", "demo", "--source", "vqa_rad", "--cases", "4"]) == 0
    more = {
        "evaluate": ["--benchmarks.vqa_rad", "demo/vqa_rad"],
        "chat": ["--ask", "?"],
        "convert to-hf": ["--out", "hf"],
    }[command]

    assert main([*command.split(), "--model", "stage3", *more]) == 2
    assert "stage3: no model folder, but stage3/model is one" in capsys.readouterr().err

    assert main([*command.split(), "--model", "stage4", *more]) == 2
    assert f"stage4: no such model folder (relative to {tmp_path})" in capsys.readouterr().err


def test_an_empty_benchmark_folder_names_the_command_that_shows_the_layout(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "out")
    argv = ["evaluate", "--model", str(tmp_path), "--benchmarks.vqa_rad", str(tmp_path)]

    assert main([*argv, "--out", out]) == 2

    said = capsys.readouterr().err
    assert "testset.json: no such file" in said
    assert f"`semihvision doctor vqa_rad --root {tmp_path}` shows the files expected" in said


def test_a_table_cuts_no_word_where_there_is_no_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["CC-BY-NC-SA-4.0", "a" * 70, "to a hosted model " * 9, "x" * 30]

    print_table("Rights", tuple("abcd"), [words])

    shown = capsys.readouterr().out
    assert words[0] in shown
    assert words[1] in shown
    assert words[3] in shown
    assert max(map(len, shown.splitlines())) < 200
