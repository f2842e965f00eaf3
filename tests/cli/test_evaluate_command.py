"""`semihvision evaluate` from the command line to what stands in MLflow."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from chat_server import Answer

from data_modules import jama
from models import PMCCambrian, PMCCambrianProcessor
from models.presets import preset
from semihvision import tracking
from semihvision.cli.main import main

CONFIGS = Path(__file__).parents[2] / "configs/evaluate"


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    PMCCambrian.from_preset("tiny").save_pretrained(folder)
    PMCCambrianProcessor.from_preset("tiny").save_pretrained(folder)
    return folder


@pytest.fixture
def cases(tmp_path: Path) -> Path:
    jama.write_twin(tmp_path / "cases", cases=4, seed=0)
    return tmp_path / "cases"


def evaluate(capsys: Any, *arguments: object) -> tuple[int, dict[str, Any], str]:
    code = main(["evaluate", *map(str, arguments), "--json"])
    printed = capsys.readouterr()
    return code, json.loads(printed.out) if printed.out else {}, printed.err


def test_a_model_folder_under_two_controls_from_a_file(
    model_folder, cases, tmp_path, capsys, mlflow_store
):
    config = tmp_path / "config.yaml"
    settings = {
        "model": str(model_folder),
        "benchmarks": {"jama": str(cases)},
        "images": ["normal", "blank"],
        "out": str(tmp_path / "out"),
        "run_name": "two controls",
        "max_tokens": 4,
    }
    config.write_text(yaml.safe_dump(settings))
    code, document, said = evaluate(capsys, "-c", config)
    assert code == 0
    stored = mlflow_store.run(document["run_id"])
    assert stored.info.run_name == "two controls"
    assert stored.info.experiment_id == mlflow_store.experiment(tracking.EVALUATE).experiment_id
    metrics = stored.data.metrics
    assert metrics["jama/n"] == metrics["jama_blank/n"] == 4
    assert "jama/accuracy" in metrics
    assert len(stored.data.tags["checkpoint_hash"]) == 64
    assert len(stored.data.tags["data_hash"]) == 64
    assert stored.data.params["max_tokens"] == "4"
    resolved = yaml.safe_load(
        (mlflow_store.artifacts(document["run_id"]) / "config.yaml").read_text()
    )
    assert resolved["images"] == ["normal", "blank"]
    assert [one["asked"] for one in document["evaluations"]] == [4, 4]
    assert tracking.runs_link(document["experiment_id"]) in said
    # JAMA's card forbids passing its text on: no table of samples.
    assert not (mlflow_store.artifacts(document["run_id"]) / "samples_jama.json").exists()
    _, again, _ = evaluate(capsys, "-c", config)
    assert [one["asked"] for one in again["evaluations"]] == [0, 0]
    text = tmp_path / "system.txt"
    text.write_text("Be kind.")
    _, otherwise, _ = evaluate(capsys, "-c", config, "--system_prompt_file", text)
    assert [one["asked"] for one in otherwise["evaluations"]] == [4, 4]


def test_an_endpoint_on_loopback(cases, tmp_path, capsys, mlflow_store, chat_server):
    chat_server.reply = lambda request: Answer(text="A. Because.")
    code, document, _ = evaluate(
        capsys, "--llm", "toy", "--base-url", chat_server.base_url,
        "--benchmarks.jama", cases, "--out", tmp_path,
    )  # fmt: skip
    assert code == 0
    metrics = mlflow_store.run(document["run_id"]).data.metrics
    assert metrics["jama/accuracy"] == 25  # right answers are spread evenly over the letters
    assert sum(bool(request.image_urls) for request in chat_server.requests) == 4


def test_unanswered_questions_are_named_with_exit_code_3(
    cases, tmp_path, capsys, mlflow_store, chat_server
):
    chat_server.reply = lambda request: Answer(refusal="I cannot")
    code, document, _ = evaluate(
        capsys, "--llm", "toy", "--base-url", chat_server.base_url,
        "--benchmarks.jama", cases, "--out", tmp_path,
    )  # fmt: skip
    assert code == 3
    assert document["evaluations"][0]["unanswered"]["demo-01"].startswith("refusal")
    assert document["evaluations"][0]["scores"]["missing"] == 4


def test_refused_cases_are_counted_with_exit_code_3(
    cases, tmp_path, capsys, mlflow_store, chat_server
):
    (cases / "images/demo-01.png").unlink()
    chat_server.reply = lambda request: Answer(text="A.")
    code, document, said = evaluate(
        capsys, "--llm", "toy", "--base-url", chat_server.base_url,
        "--benchmarks.jama", cases, "--out", tmp_path,
    )  # fmt: skip
    assert code == 3
    assert document["refused"] == {"jama": {"missing_image": 1}}
    assert "demo-01.png" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "m", "--llm", "toy"], "either model"),
        ([], "either model"),
        (["--llm", "toy", "--other_prompt", "true"], "go with model, not with llm"),
        (["--llm", "toy", "--system_prompt_file", "x"], "go with model, not with llm"),
        (["--model", "m"], "expected name: folder"),
        (["--model", "m", "--benchmarks.nothing", "."], "unknown benchmark 'nothing'"),
        (["--model", "m", "--benchmarks.jama", "no/such"], "no such folder"),
    ],
)
def test_wrong_usage_says_what_is_expected(arguments, message, capsys):
    code, _, said = evaluate(capsys, *arguments)
    assert code == 2
    assert message in said


def test_restricted_cases_are_refused_at_another_machine_before_a_run_is_opened(
    cases, tmp_path, capsys, mlflow_store
):
    code, _, said = evaluate(
        capsys, "--llm", "toy", "--base-url", "https://api.example.org/v1",
        "--benchmarks.jama", cases, "--out", tmp_path / "out", "--run_name", "refused by policy",
    )  # fmt: skip
    assert code == 2
    assert "states: [owner_permission]" in said
    assert not (tmp_path / "out").exists()
    tracking.ensure_experiment(tracking.EVALUATE)
    names = [run.info.run_name for run in mlflow_store.runs(tracking.EVALUATE)]
    assert "refused by policy" not in names


def test_a_damaged_model_folder_is_unusable_input(cases, tmp_path, capsys):
    folder = tmp_path / "model"
    preset("tiny").save_pretrained(folder)
    PMCCambrianProcessor.from_preset("tiny").save_pretrained(folder)
    code, _, said = evaluate(capsys, "--model", folder, "--benchmarks.jama", cases)
    assert code == 2
    assert f"{folder}: this model folder cannot be loaded" in said


@pytest.mark.parametrize("file", sorted(path.name for path in CONFIGS.glob("*.yaml")))
def test_shipped_configurations_say_what_they_need(file):
    head = (CONFIGS / file).read_text().split("\n\n")[0]
    for word in ("Needs", "Command", "Time", "Provenance"):
        assert word in head
