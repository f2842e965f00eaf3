"""`semihvision judge run` from the command line to what stands in MLflow."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from chat_server import Answer, ChatRequest, as_json

from data_modules import jama
from semihvision import tracking
from semihvision.cli.main import main

LISTS = {"key_points": ["a"] * 10, "reasoning_steps": ["b"], "evidence": ["c"]}


def reply(request: ChatRequest) -> Answer:
    if request.schema_name == "ReferenceLists":
        return as_json(LISTS)
    unreadable = "rash" in request.user
    return Answer(text="not sure" if unreadable else "Score: 2.5")


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Four demo cases, and an answer to each that names its right option."""
    jama.write_twin(tmp_path / "cases", cases=4, seed=0)
    rows = [json.loads(line) for line in (tmp_path / "cases/jama.jsonl").read_text().splitlines()]
    lines = [{"id": row["id"], "answer": f"{row['answer_idx']}. {row['answer']}"} for row in rows]
    predictions = tmp_path / "predictions.jsonl"
    predictions.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return ["--cases", str(tmp_path / "cases"), "--predictions", str(predictions)]


def judge(capsys: Any, *arguments: str) -> tuple[int, dict[str, Any], str]:
    code = main(["judge", "run", *arguments, "--json"])
    printed = capsys.readouterr()
    return code, json.loads(printed.out) if printed.out else {}, printed.err


def test_without_a_model_the_lexical_stand_in_is_logged_and_no_judge_metric(
    files, capsys, mlflow_store
):
    code, document, said = judge(capsys, *files)
    assert code == 0
    metrics = mlflow_store.run(document["run_id"]).data.metrics
    assert metrics == pytest.approx(document["metrics"])
    assert metrics["jama/accuracy"] == 100
    assert metrics["jama/n"] == 4
    assert 0 < metrics["jama/lexical_score"] < 100
    judged = ("judge_score", "key_points", "inference", "evidence", "unscored")
    assert not {f"jama/{name}" for name in judged} & metrics.keys()
    assert "judge" not in mlflow_store.run(document["run_id"]).data.tags
    assert "workflowType=machine_learning" in said
    assert "mlflow ui --backend-store-uri" in said


def test_with_the_loopback_server_as_judge_the_page_shows_the_judge_score(
    files, capsys, mlflow_store, chat_server
):
    chat_server.reply = reply
    code, document, _ = judge(capsys, *files, "--llm", "toy", "--base-url", chat_server.base_url)
    assert code == 0
    stored = mlflow_store.run(document["run_id"])
    for name in ("judge_score", "key_points", "inference", "evidence"):
        assert stored.data.metrics[f"jama/{name}"] == 2.5
    assert stored.data.metrics["jama/unscored"] == 0
    assert stored.data.metrics["jama/accuracy"] == 100
    assert stored.data.metrics["judge/tokens_in"] > 0
    assert stored.data.tags["judge"] == "toy-loopback"
    assert len(stored.data.tags["judge_prompt_hash"]) == 64
    assert stored.data.tags["git_commit"] == tracking.code_tags()["git_commit"]
    assert len(stored.data.tags["data_hash"]) == 64
    assert stored.data.params["llm"] == "toy"
    experiment = mlflow_store.experiment(tracking.EVALUATE)
    assert stored.info.experiment_id == experiment.experiment_id
    prompts = json.loads(
        (mlflow_store.artifacts(document["run_id"]) / "judge_prompts.json").read_text()
    )
    assert "judge_evidence.v1" in prompts
    assert (Path(files[3]).parent / "judge.jsonl").is_file()


def test_unparsable_replies_are_unscored_named_and_exit_code_3(
    files, capsys, mlflow_store, chat_server
):
    chat_server.reply = lambda request: as_json(LISTS) if request.schema else Answer(text="4 of 5")
    code, document, _ = judge(capsys, *files, "--llm", "toy", "--base-url", chat_server.base_url)
    assert code == 3
    assert document["metrics"]["jama/unscored"] == 4
    assert "jama/judge_score" not in document["metrics"]
    assert "2 different numbers" in document["unscored"]["demo-01"]
    assert mlflow_store.run(document["run_id"]).data.metrics["jama/unscored"] == 4


def test_jama_text_goes_to_no_other_machine_without_the_setting_in_the_message(
    files, capsys, monkeypatch, mlflow_store
):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-not-a-real-key")
    code, _, said = judge(
        capsys, *files, "--llm", "toy", "--base-url", "https://api.example.org/v1"
    )
    assert code == 2
    assert "states: [owner_permission]" in said
    assert "jamanetwork.com" in said
    assert not (Path(files[3]).parent / "judge.jsonl").exists()


def test_missing_answers_are_reported_with_exit_code_3(files, capsys, mlflow_store):
    predictions = Path(files[3])
    predictions.write_text("\n".join(predictions.read_text().splitlines()[:3]))
    code, document, _ = judge(capsys, *files)
    assert code == 3
    assert document["metrics"]["jama/missing"] == 1
    assert document["metrics"]["jama/accuracy"] == 75


def test_answers_to_other_cases_are_wrong_usage(files, capsys, mlflow_store):
    with Path(files[3]).open("a") as stream:
        stream.write('{"id": "elsewhere", "answer": "B"}\n')
    code, _, said = judge(capsys, *files)
    assert code == 2
    assert "elsewhere" in said


def test_the_shipped_configuration_is_accepted_and_refuses_by_default(
    files, capsys, monkeypatch, mlflow_store
):
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    config = Path(__file__).parents[2] / "configs/evaluate/jama_judge.yaml"
    code, _, said = judge(capsys, "-c", str(config), *files)
    assert code == 2
    assert "endpoint: https://api.openai.com:443/v1" in said


def test_evaluate_and_judge_load_no_tensors_client_or_tracker_until_they_need_one():
    code = (
        "import sys, semihvision.cli.judge, semihvision.cli.evaluate\n"
        "heavy = {'torch', 'lightning', 'transformers', 'openai', 'mlflow', 'sklearn'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
