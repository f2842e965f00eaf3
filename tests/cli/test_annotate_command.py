"""`semihvision annotate` from the command line to the files it writes."""

import json
from pathlib import Path
from typing import Any

import pytest
from annotation_records import bare, with_regions, with_text, write_case
from chat_server import ChatServer
from demo_replies import demo_reply

from semihvision import tracking
from semihvision.annotation.prompts import prompt_hash
from semihvision.annotation.settings import AnnotationSettings
from semihvision.annotation.template import TemplateProducer
from semihvision.cli.main import main
from semihvision.core.parquet import read_records
from semihvision.core.record import Provenance, Retrieved

DEFAULT = Path(__file__).resolve().parents[2] / "configs/annotate/default.yaml"


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Three records, one of them restricted, with their images."""
    path, roots = write_case(
        tmp_path, [with_text("a"), with_regions("b"), with_text("m", "mimic_cxr")]
    )
    options = [f"--root={source}={folder}" for source, folder in roots.items()]
    return [f"--config={DEFAULT}", "--records", str(path), *options]


def annotate(capsys: Any, *arguments: str) -> tuple[int, dict[str, Any], str]:
    code = main(["annotate", *arguments, "--json"])
    printed = capsys.readouterr()
    return code, json.loads(printed.out) if printed.out else {}, printed.err


def prompt_hashes(run: Any) -> dict[str, str]:
    return {name: tag for name, tag in run.data.tags.items() if name.startswith("prompt_hash")}


def test_without_a_model_templates_write_and_nothing_is_sent(
    files, tmp_path, capsys, mlflow_store, chat_server
):
    out = tmp_path / "out.parquet"
    code, document, said = annotate(
        capsys, "run", *files, f"--base-url={chat_server.base_url}", f"--out={out}"
    )
    assert code == 0
    assert document["by_path"] == {"rewrite": 2, "describe": 1}
    assert chat_server.connections == 0
    producers = {p.producer for record in read_records(out) for p in record.provenance}
    assert producers == {"human", "template"}
    assert str(out) in said.replace("\n", "")
    runs = mlflow_store.runs(tracking.ANNOTATE)
    assert runs[0].data.metrics["annotated"] == 3
    assert prompt_hashes(runs[0]) == {
        "prompt_hash/rewrite/eurorad": TemplateProducer().prompt_hash("rewrite", "eurorad"),
        "prompt_hash/rewrite/mimic_cxr": TemplateProducer().prompt_hash("rewrite", "mimic_cxr"),
        "prompt_hash/describe/deeplesion": TemplateProducer().prompt_hash("describe", "deeplesion"),
    }


def test_with_a_model_its_replies_are_written(files, tmp_path, capsys, mlflow_store, chat_server):
    chat_server.reply = demo_reply
    out = tmp_path / "out.parquet"
    llm = ("--llm=toy", f"--base-url={chat_server.base_url}")
    code, document, _ = annotate(capsys, "run", *files, *llm, f"--out={out}")
    assert (code, document["annotated"], len(chat_server.requests)) == (0, 3, 3)
    assert prompt_hashes(mlflow_store.runs(tracking.ANNOTATE)[0]) == {
        f"prompt_hash/{path}/{source}": prompt_hash(path, source)
        for path, source in (
            ("rewrite", "eurorad"), ("rewrite", "mimic_cxr"), ("describe", "deeplesion"),
        )
    }  # fmt: skip
    code, status, _ = annotate(capsys, "status", str(out))
    assert code == 0
    assert status["finished"] == {"rewrite": 2, "describe": 1}
    assert status["tokens_in"] == document["tokens_in"] > 0
    code, plan, _ = annotate(capsys, "plan", *files, *llm, f"--out={out}")
    assert (plan["finished"], plan["requests"]) == (3, 0)


def test_a_refused_record_gives_exit_code_3(
    files, tmp_path, capsys, mlflow_store, chat_server, remote_endpoint, monkeypatch
):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-not-a-real-key")
    chat_server.reply = demo_reply
    mine = tmp_path / "mine.yaml"
    allowed = [
        {"source": source, "endpoint": remote_endpoint} for source in ("eurorad", "deeplesion")
    ]
    mine.write_text(json.dumps({"permissions": allowed}))
    out = tmp_path / "out.parquet"
    llm = (f"--config={mine}", "--llm=toy", f"--base-url={remote_endpoint}")
    code, plan, _ = annotate(capsys, "plan", *files, *llm)
    assert (code, plan["requests"]) == (0, 2)
    assert {v["source"]: v["allowed"] for v in plan["verdicts"]} == {
        "eurorad": True, "deeplesion": True, "mimic_cxr": False,
    }  # fmt: skip
    assert chat_server.connections == 0
    code, document, said = annotate(capsys, "run", *files, *llm, f"--out={out}")
    assert (code, document["refused"], document["annotated"]) == (3, {"policy": 1}, 2)
    assert "policy" in said
    assert "sk-not-a-real-key" not in said
    listed = json.loads((tmp_path / "out.refused.jsonl").read_text())
    assert listed["item"] == "mimic_cxr/m"
    assert len(chat_server.requests) == 2


def test_the_configuration_file_holds_the_defaults(files, capsys):
    code, with_file, _ = annotate(capsys, "plan", *files)
    assert code == 0
    without = annotate(capsys, "plan", *files[1:])[1]
    assert with_file == without
    text = DEFAULT.read_text()
    for name in vars(AnnotationSettings()):
        assert f"  {name}:" in text


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ("surprise: 1", "surprise"),
        ("annotation: {casess: 1}", "casess"),
        ("annotation: {cases: -1}", "at least 0"),
        ("annotation: {rules: [{path: guess, any_of: [image]}]}", "guess"),
        ("permissions: [{source: eurorad, endpoint: x, states: [yes_please]}]", "yes_please"),
        ("max_tokens: 0", "max_tokens"),
    ],
)
def test_unusable_settings_end_with_2(files, tmp_path, capsys, extra, words):
    mine = tmp_path / "mine.yaml"
    mine.write_text(extra)
    arguments = ["annotate", "plan", *files, f"--config={mine}", "--llm=toy"]
    try:
        code = main(arguments)
    except SystemExit as ended:
        code = ended.code
    assert code == 2
    assert words in capsys.readouterr().err


def test_a_bare_image_needs_an_index(tmp_path, capsys, chat_server: ChatServer):
    path, roots = write_case(tmp_path, [bare("c")])
    arguments = ["--records", str(path), f"--root=folder={roots['folder']}", "--llm=toy"]
    arguments += [f"--base-url={chat_server.base_url}", f"--out={tmp_path / 'out.parquet'}"]
    code, _, said = annotate(capsys, "run", *arguments)
    assert code == 2
    assert "--index" in said


def test_generated_conversations_are_exported_and_come_back(files, tmp_path, capsys, mlflow_store):
    out, exported = tmp_path / "out.parquet", tmp_path / "x.jsonl"
    annotate(capsys, "run", *files, f"--out={out}")
    code, document, _ = annotate(capsys, "export", str(out), f"--out={exported}")
    assert (code, document["conversations"], document["records_without"]) == (0, 3, 0)
    rows = [json.loads(line) for line in exported.read_text().splitlines()]
    written = {
        f"{record.record_id}#{talk.conversation_id}": (record, talk)
        for record in read_records(out)
        for talk in record.conversations
    }
    assert {row["id"] for row in rows} == set(written)
    for row in rows:
        record, talk = written[row["id"]]
        assert row["image"] == record.images[0].path
        assert [turn["from"] for turn in row["conversations"]] == [t.role for t in talk.turns]
        assert [turn["value"] for turn in row["conversations"]] == [t.text for t in talk.turns]
        assert row["conversations"][0]["value"].startswith("<image>")
        assert {p["producer"] for p in row["record"]["provenance"]} == {"template"}


def test_an_export_names_every_source_its_words_come_from(tmp_path, capsys):
    one = with_text("a")
    used = Retrieved(ref="mimic_cxr/s1", kind="case", score=0.9)
    made = Provenance(provenance_id="gen", producer="model", retrieved=(used,))
    path, _ = write_case(tmp_path, [one.edited(provenance=(*one.provenance, made))])
    # Without a question, nothing is exported; the sources are named all the same.
    assert main(["records", "export", str(path), f"--out={tmp_path / 'x.jsonl'}", "--json"]) == 3
    assert "mimic_cxr" in json.loads(capsys.readouterr().out)["not_to_be_passed_on"]


def test_what_nobody_generated_is_not_exported(files, tmp_path, capsys):
    before = files[files.index("--records") + 1]
    code, document, _ = annotate(capsys, "export", before, f"--out={tmp_path / 'x.jsonl'}")
    assert (code, document["conversations"], document["records_without"]) == (0, 0, 3)


def test_status_needs_a_store(tmp_path, capsys):
    code, _, said = annotate(capsys, "status", str(tmp_path / "none.parquet"))
    assert code == 2
    assert "no such store" in said
