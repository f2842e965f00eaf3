"""No export writes texts of a source whose card withholds them, or what was made from them."""

import json
from pathlib import Path

import pytest
from hand_written_records import eurorad_case

from data_modules import jama, radiopaedia
from semihvision.cli.main import main
from semihvision.core.card import CARD_MODULES, card
from semihvision.core.errors import RefusalLog
from semihvision.core.parquet import write_records
from semihvision.core.record import (
    Conversation,
    ConversationTurn,
    Provenance,
    Record,
    Retrieved,
)


def generated(record: Record, *, created_at: str, retrieved: str = "") -> Record:
    """The record with a conversation of a model."""
    turns = (ConversationTurn(role="human", text="Q"), ConversationTurn(role="gpt", text="A"))
    item = Retrieved(ref=retrieved, kind="case", score=0.5) if retrieved else None
    origin = Provenance(
        provenance_id="gen",
        producer="model",
        created_at=created_at,
        retrieved=(item,) if item else (),
    )
    talk = Conversation(conversation_id="talk", turns=turns, provenance_id="gen")
    return record.edited(
        conversations=(*record.conversations, talk), provenance=(*record.provenance, origin)
    )


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Six records, of which only the two of Eurorad without JAMA's context may be exported."""
    jama.write_twin(tmp_path / "jama", cases=2, seed=0)
    radiopaedia.write_twin(tmp_path / "radiopaedia", cases=1, seed=0)
    withheld = [
        *jama.read(tmp_path / "jama", RefusalLog()),
        *radiopaedia.read(tmp_path / "radiopaedia", RefusalLog()),
    ]
    own = eurorad_case()
    named = [own.edited(record_id=f"eurorad/{n}") for n in range(3)]
    records = [
        *(generated(record, created_at="2026-01-01") for record in withheld),
        generated(named[0], created_at="2026-01-01", retrieved="jama/9"),
        generated(named[1], created_at="2026-01-01"),
        generated(named[2], created_at=""),
    ]
    path = tmp_path / "mixed.parquet"
    write_records(path, records)
    return path


@pytest.mark.parametrize("command", [["records", "export"], ["annotate", "export"]])
def test_an_export_withholds_and_says_so(
    command: list[str], mixed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "x.jsonl"

    assert main([*command, str(mixed), "--out", str(out), "--json"]) == 3

    document = json.loads(capsys.readouterr().out)
    assert (document["records"], document["records_withheld"]) == (6, 4)
    text = out.read_text(encoding="utf-8")
    assert "jama" not in text
    assert "radiopaedia" not in text
    lines = out.with_suffix(".refused.jsonl").read_text(encoding="utf-8").splitlines()
    refused = [json.loads(line) for line in lines]
    assert {item["kind"] for item in refused} == {"withheld"}
    assert {item["item"].split("/")[0] for item in refused} == {"jama", "radiopaedia", "eurorad"}
    assert "are written by no export" in refused[0]["reason"]


def test_what_an_owners_model_wrote_is_no_result_of_the_pipeline(
    mixed: Path, tmp_path: Path
) -> None:
    out = tmp_path / "x.jsonl"
    main(["annotate", "export", str(mixed), "--out", str(out)])

    ids = [json.loads(line)["id"] for line in out.read_text(encoding="utf-8").splitlines()]

    assert ids == ["eurorad/1#talk"]


def test_these_sources_texts_are_withheld() -> None:
    withheld = {name for name in CARD_MODULES if not card(name).exports_text}
    assert withheld == {"jama", "radiopaedia"}
    assert all(card(name).redistribution == "no" for name in withheld)
