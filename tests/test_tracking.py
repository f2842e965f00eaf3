"""What stands in the store after a run, and the links and commands people are given."""

import json
import subprocess
import sys
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
import yaml
from PIL import Image

from semihvision import tracking


def test_default_store_is_the_documented_one(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert tracking.tracking_uri() == "sqlite:///mlruns/mlflow.db"
    command = tracking.ui_command()
    assert command.endswith("mlflow ui --backend-store-uri sqlite:///mlruns/mlflow.db")


def test_environment_chooses_another_store(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///elsewhere/a.db")
    assert tracking.ui_command().endswith("--backend-store-uri sqlite:///elsewhere/a.db")


def test_ui_command_names_a_program_that_exists():
    program = Path(tracking.ui_command().split(" ui ")[0])
    assert program == Path("mlflow") or program.exists()


def test_links_open_on_runs_and_on_the_comparison():
    runs = tracking.runs_link("7", host="http://h:1")
    assert runs == "http://h:1/#/experiments/7?workflowType=machine_learning"
    link = tracking.compare_link(["a1", "b2"], "7", host="http://h:1")
    assert '"' not in link
    assert "[" not in link
    page = urlsplit(urlsplit(link).fragment)
    assert page.path == "/compare-runs"
    query = parse_qs(page.query)
    assert json.loads(query["runs"][0]) == ["a1", "b2"]
    assert json.loads(query["experiments"][0]) == ["7"]
    assert query["workflowType"] == ["machine_learning"]
    assert unquote(link).startswith("http://h:1/#/compare-runs?runs=[")


def test_importing_tracking_imports_no_mlflow():
    code = "import sys, semihvision.tracking; sys.exit('mlflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_commit_is_that_of_the_checkout():
    head = subprocess.run(
        ["git", "-C", str(Path(tracking.__file__).parent), "rev-parse", "HEAD"],
        capture_output=True,
        text=True,
        check=False,
    )
    tags = tracking.code_tags()
    if head.returncode == 0:
        assert tags["git_commit"] == head.stdout.strip()
        assert tags["git_dirty"] in ("true", "false")
    else:
        assert tags["git_commit"] == "not a git checkout"


def test_a_run_carries_configuration_metrics_tags_and_pictures(mlflow_store):
    config = {"model": {"folder": Path("a/b"), "depth": 2}, "images": ["normal", "blank"]}
    with tracking.open_run(
        tracking.ANNOTATE, "one", config=config, tags={"data_hash": "f00"}
    ) as run:
        run.log_metrics({"vqa_rad/exact/closed_accuracy": 50.0, "vqa_rad/n": 2})
        run.set_tags({"judge": "some-model"})
        red = Image.new("RGB", (8, 8), "red")
        run.log_table("samples", {"id": ["1", "2"], "image": [red, red], "score": [0.5, 1.0]})

    stored = mlflow_store.run(run.run_id)
    assert stored.info.status == "FINISHED"
    assert stored.info.run_name == "one"
    assert stored.data.metrics == {"vqa_rad/exact/closed_accuracy": 50.0, "vqa_rad/n": 2.0}
    assert stored.data.params["model.depth"] == "2"
    assert stored.data.params["model.folder"] == "a/b"
    assert stored.data.tags["data_hash"] == "f00"
    assert stored.data.tags["judge"] == "some-model"
    assert stored.data.tags["git_commit"] == tracking.code_tags()["git_commit"]
    artifacts = mlflow_store.artifacts(run.run_id)
    assert yaml.safe_load((artifacts / "config.yaml").read_text()) == {
        "model": {"folder": "a/b", "depth": 2},
        "images": ["normal", "blank"],
    }
    table = json.loads((artifacts / "samples.json").read_text())
    assert table["columns"] == ["id", "image", "score"]
    assert (artifacts / table["data"][0][1]["filepath"]).is_file()
    # Artifacts lie beside the database, by an absolute path: a later working directory finds them.
    assert mlflow_store.folder in artifacts.parents
    experiment = mlflow_store.experiment(tracking.ANNOTATE)
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"


def test_a_failing_run_is_closed_as_failed(mlflow_store):
    with (
        pytest.raises(ZeroDivisionError),
        tracking.open_run(tracking.ANNOTATE, "broken", config={}) as run,
    ):
        1 / 0  # noqa: B018
    assert mlflow_store.run(run.run_id).info.status == "FAILED"


def test_many_parameters_and_one_long_value_fit(mlflow_store):
    config = {f"p{number}": number for number in range(150)} | {"long": "x" * 9000}
    with tracking.open_run(tracking.ANNOTATE, "many", config=config) as run:
        pass
    params = mlflow_store.run(run.run_id).data.params
    assert len(params) == 151
    whole = yaml.safe_load((mlflow_store.artifacts(run.run_id) / "config.yaml").read_text())
    assert whole["long"] == "x" * 9000


def test_lightning_logger_writes_to_the_same_store(mlflow_store):
    logger = tracking.lightning_logger(tracking.TRAIN, "stage 1", {"data_hash": "beef"})
    logger.log_metrics({"train/loss": 1.5}, step=3)
    logger.finalize("success")
    stored = mlflow_store.run(logger.run_id)
    assert stored.data.metrics == {"train/loss": 1.5}
    assert stored.info.run_name == "stage 1"
    assert stored.data.tags["data_hash"] == "beef"
    assert stored.data.tags["git_commit"] == tracking.code_tags()["git_commit"]
    experiment = mlflow_store.experiment(tracking.TRAIN)
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"
    assert str(mlflow_store.folder) in experiment.artifact_location
