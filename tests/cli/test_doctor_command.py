import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from chat_server import ChatServer

from data_modules import deeplesion, vqa_rad
from semihvision.cli.demo_data import write_twins
from semihvision.cli.main import main
from semihvision.core.card import CARD_MODULES, card


@pytest.fixture
def twin(tmp_path: Path) -> Path:
    root = tmp_path / "deeplesion"
    deeplesion.write_twin(root, cases=3, seed=0)
    return root


@pytest.fixture(autouse=True)
def own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "runs.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{path}")
    return path


def doctor(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, dict[str, Any]]:
    code = main(["doctor", *argv, "--json"])
    return code, json.loads(capsys.readouterr().out)


def facts(found: dict[str, Any]) -> dict[str, Any]:
    return {fact["what"]: fact for fact in found["machine"]}


def test_a_sound_source(twin: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, found = doctor(capsys, "deeplesion", "--root", str(twin))

    assert code == 0
    (source,) = found["sources"]
    assert source["verdict"] == "can be read whole"
    assert (source["licence"], source["access"]) == ("CC-BY-4.0", "Open download.")
    table, slices = source["components"]
    assert (table["status"], table["number"], table["published"]) == ("partial", 6, 32_735)
    assert (slices["status"], slices["number"], slices["damaged"]) == ("partial", 9, [])
    assert source["dry_run"]["records"] == 3
    assert source["dry_run"]["would_be_lost"] == {"total": 0, "by_kind": {}, "items": []}


def test_the_real_vqa_rad_is_present(
    vqa_rad_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, found = doctor(capsys, "vqa_rad", "--root", str(vqa_rad_root))

    assert code == 0
    parts = found["sources"][0]["components"]
    assert [(part["status"], part["number"]) for part in parts] == [
        ("present", 3064),
        ("present", 451),
        ("present", 315),
    ]


def test_losses_are_listed_and_end_with_3(twin: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in (twin / "Images_png").glob("000002_*/*.png"):
        path.write_bytes(path.read_bytes()[:100])

    code, found = doctor(capsys, "deeplesion", "--root", str(twin))

    assert code == 3
    source = found["sources"][0]
    assert source["verdict"] == "would lose items"
    assert source["components"][1]["status"] == "corrupt"
    assert len(source["components"][1]["damaged"]) == 3
    lost = source["dry_run"]["would_be_lost"]
    assert lost["by_kind"] == {"unreadable_image": 3}  # one a lesion
    assert [item["item"] for item in lost["items"]] == ["line 4", "line 5", "line 6"]
    assert main(["doctor", "deeplesion", "--root", str(twin)]) == 3
    shown = capsys.readouterr().out
    assert "Would be lost" in shown
    assert "\x1b" not in shown  # colours are for terminals


def test_a_missing_table_ends_with_4(twin: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (twin / "DL_info.csv").unlink()

    code, found = doctor(capsys, "deeplesion", "--root", str(twin))

    assert code == 4
    source = found["sources"][0]
    assert source["verdict"] == "cannot be read"
    assert source["components"][0]["status"] == "missing"
    assert "no file DL_info.csv" in source["dry_run"]["unusable"]


def test_several_sources(twin: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "vqa_rad"
    vqa_rad.write_twin(other, cases=2, seed=0)
    both = ["--source", "vqa_rad", "--root", str(other), "--source", "deeplesion"]

    code, found = doctor(capsys, *both, "--root", str(twin))

    assert code == 0
    assert [source["root"] for source in found["sources"]] == [str(other), str(twin)]
    assert main(["doctor", *both]) == 2
    assert "2 sources and 1 times --root" in capsys.readouterr().err


@pytest.mark.parametrize("name", CARD_MODULES)
def test_without_a_root_it_says_how_to_get_a_source(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", name]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "no root given" in shown
    assert card(name).access.split()[0] in shown


def test_the_machine(own_store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, found = doctor(capsys)

    assert code == 0
    assert found["sources"] == []
    machine = facts(found)
    assert machine["python"]["is_ok"]
    assert "not there yet" in machine["runs"]["found"]
    assert "endpoint" not in machine  # asked only if told to
    with sqlite3.connect(own_store) as database:
        database.execute("CREATE TABLE runs (id)")
        database.execute("INSERT INTO runs VALUES (1)")
    database.close()
    assert facts(doctor(capsys)[1])["runs"]["found"].startswith("1 in ")


def test_a_damaged_store_ends_with_4(own_store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own_store.write_bytes(b"no database at all" * 100)

    code, found = doctor(capsys)

    assert code == 4
    assert facts(found)["runs"]["is_ok"] is False


def test_the_address_of_a_server_is_shown_without_its_password(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://me:secret@runs.example.org/x")

    shown = facts(doctor(capsys)[1])["runs"]["found"]

    assert shown == "kept by https://runs.example.org (not asked)"


def test_an_endpoint_is_asked_when_told_to(
    chat_server: ChatServer, capsys: pytest.CaptureFixture[str]
) -> None:
    code, found = doctor(capsys, "--check-endpoint", chat_server.base_url)

    assert code == 0
    assert "127.0.0.1 answers" in facts(found)["endpoint"]["found"]


def test_an_endpoint_that_does_not_answer_or_may_not_be_asked(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, found = doctor(capsys, "--check-endpoint", "http://127.0.0.1:9/v1")
    assert code == 4
    assert "does not answer" in facts(found)["endpoint"]["found"]

    assert main(["doctor", "--check-endpoint", "http://example.org/v1"]) == 2
    assert "not encrypted" in capsys.readouterr().err


def test_every_twin_has_the_components_of_its_card(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A pattern that no twin matches would call a whole source incomplete."""
    roots = write_twins(tmp_path / "twins", None, 4, 0)

    code, found = doctor(capsys, *roots, "--root", *map(str, roots.values()))

    assert code == 0
    assert {source["verdict"] for source in found["sources"]} == {"can be read whole"}
    parts = [part for source in found["sources"] for part in source["components"]]
    assert {part["status"] for part in parts if part["is_required"]} == {"present", "partial"}
    assert not [part for part in parts if part["status"] == "corrupt"]
