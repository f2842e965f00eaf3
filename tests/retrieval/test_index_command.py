"""`semihvision index`, in this process."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from semihvision.cli.main import main
from semihvision.core.parquet import read_records, write_records
from semihvision.core.policy import OWNER_PERMITTED, OWNER_REFUSED
from semihvision.core.record import Record


@pytest.fixture
def build_arguments(make_record: Callable[..., Record], tmp_path: Path) -> list[str]:
    records = tmp_path / "cases.parquet"
    organs = ("thorax", "abdomen")
    write_records(records, [make_record(number, organ=organs[number % 2]) for number in range(8)])
    return [
        "index", "build", "--records", str(records), "--root", f"demo={tmp_path / 'images'}",
        "--guidelines", "demo", "--out", str(tmp_path / "index"),
    ]  # fmt: skip


def test_build_search_audit(
    build_arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    index = str(tmp_path / "index")
    assert main([*build_arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["items"]["case"] == 8
    image = str(tmp_path / "images" / "7.png")
    assert main(["index", "search", index, "--image", image, "-k", "3", "--json"]) == 0
    hits = json.loads(capsys.readouterr().out)
    assert len(hits) == 3
    assert hits[0]["ref"] == "demo/7"
    rest = ["--kinds", "case", "--exclude-groups", "demo/patient-7", "other/patient-6", "--json"]
    assert main(["index", "search", index, "--image", image, "-k", "8", *rest]) == 0
    found = {hit["ref"] for hit in json.loads(capsys.readouterr().out)}
    assert found == {f"demo/{number}" for number in range(7)}
    assert main(["index", "search", index, "--image", image, "--exclude-groups", "p7"]) == 2
    assert "SOURCE/GROUP" in capsys.readouterr().err
    words = ["index", "search", index, "--text", "liver lesion", "--kinds", "guideline"]
    assert main(words) == 0
    assert "5 found" in capsys.readouterr().out
    assert main(["index", "audit", index, "-k", "4", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert {row["recall"] for row in report["recall"]} == {1.0}
    assert main(["index", "audit", index]) == 0
    assert "lesion_type" in capsys.readouterr().out


def test_refused_images_give_exit_code_3(
    build_arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "images" / "5.png").unlink()
    assert main([*build_arguments, "--json"]) == 3
    assert json.loads(capsys.readouterr().out)["refused"] == {"missing_image": 1}
    assert (tmp_path / "index" / "refused.jsonl").is_file()


def test_left_out_test_records_are_said_and_are_no_failure(
    build_arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "cases.parquet"
    first, *others = read_records(path)
    write_records(path, [first.edited(split="test"), *others])
    assert main([*build_arguments, "--json"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["left_out"] == {"test_split": 1}
    assert "--include-test" in printed.err
    assert main([*build_arguments, "--include-test", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["items"]["case"] == 8


def test_a_record_with_stricter_terms_than_its_source_is_left_out(
    build_arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, arguments = tmp_path / "cases.parquet", [*build_arguments, "--json"]
    records = [
        one.edited(source="eurorad", record_id=f"eurorad/{number}")
        for number, one in enumerate(read_records(path))
    ]
    for number, terms in enumerate(((OWNER_REFUSED,), ("owner_permission",), (OWNER_PERMITTED,))):
        licence = records[number].licence.model_copy(update={"conditions": terms})
        records[number] = records[number].edited(licence=licence)
    write_records(path, records)
    arguments[arguments.index("--root") + 1] = f"eurorad={tmp_path / 'images'}"
    assert main(arguments) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["left_out"] == {"own_terms": 2}
    assert "2 own terms" in printed.err
    assert "--include-test" not in printed.err


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (["--root", "demo"], "SOURCE=DIR"),
        (["--root", "demo=nowhere"], "no such folder"),
        (["--text-embedder", "bert"], "known: classical"),
        (["--guidelines", "absent.jsonl"], "absent.jsonl"),
        (["--records", "absent.parquet"], "absent.parquet"),
        (["--M", "1"], "M 1"),
    ],
)
def test_wrong_usage_gives_exit_code_2(
    build_arguments: list[str],
    changed: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if changed[0] == "--root":
        place = build_arguments.index("--root")
        del build_arguments[place : place + 2]
    assert main([*build_arguments, *changed]) == 2
    assert message in capsys.readouterr().err


def test_an_unreadable_query_image_gives_exit_code_2(
    build_arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(build_arguments)
    (tmp_path / "query.png").write_bytes(b"no image")
    index, image = str(tmp_path / "index"), str(tmp_path / "query.png")
    assert main(["index", "search", index, "--image", image]) == 2
    assert "query.png" in capsys.readouterr().err
