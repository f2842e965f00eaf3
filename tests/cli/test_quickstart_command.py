"""The whole job on a handful of cases: that every step meets the next, not how well it learns."""

import json
import re
import shlex
from pathlib import Path

import pytest
from chat_server import ChatServer

from semihvision.cli import quickstart_steps
from semihvision.cli.main import main
from semihvision.cli.quickstart import _fresh
from semihvision.core.card import card
from semihvision.core.errors import InputError
from semihvision.core.policy import may_send
from semihvision.tracking import EVALUATE, ensure_experiment, store_client

pytestmark = pytest.mark.filterwarnings(
    # The advice and notes that `fit` itself hides from its users.
    "ignore:.*does not have many workers:UserWarning",
    "ignore:LightningCLI's args parameter:UserWarning",
    "ignore:Total length of:UserWarning",
    # lightning 2.6 calls a method that jsonargparse 4.53 has renamed.
    "ignore::jsonargparse._deprecated.JsonargparseDeprecationWarning",
    # Two cases of a twin are few for a TF-IDF vocabulary; the accuracy is not looked at here.
    "ignore:.*:sklearn.exceptions.ConvergenceWarning",
)


@pytest.fixture
def few_cases(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Six cases of each twin, one pass over them in every stage."""
    monkeypatch.setattr(
        quickstart_steps, "CASES", {**dict.fromkeys(quickstart_steps.CASES, 6), "jama": 2}
    )
    configs = tmp_path / "configs"
    configs.mkdir()
    for file in quickstart_steps.CONFIGS.glob("stage*.yaml"):
        text = re.sub(r"max_epochs: \d+", "max_epochs: 1", file.read_text())
        text = re.sub(r"log_every_n_steps: \d+", "log_every_n_steps: 1", text)
        (configs / file.name).write_text(text)
    monkeypatch.setattr(quickstart_steps, "CONFIGS", configs)


def test_quickstart_runs_every_room_with_a_judge_on_loopback(
    few_cases: None,
    mlflow_store: object,
    chat_server: ChatServer,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    argv = ["quickstart", "--out", str(out), "--json"]
    code = main([*argv, "--llm", "demo", "--base-url", chat_server.base_url])
    document = json.loads(capsys.readouterr().out)
    assert (code == 3) == bool(document["refused"])
    assert document["demo_vqa_questions"] > 0
    assert set(document["trained"]["vqa"]) == {"normal", "blank", "shuffled"}
    assert set(document["loss"]) == {"stage1", "stage2", "stage3"}
    for name in ("untrained", "trained"):
        run = store_client().get_run(document[name]["run_id"])
        assert run.info.experiment_id == ensure_experiment(EVALUATE)
        assert {"jama/lexical_score", "jama/unscored", "demo_vqa/n"} <= set(run.data.metrics)
        assert run.data.tags["judge"]
    assert "workflowType=machine_learning" in document["mlflow"]["compare"]
    lineage = json.loads((out / "stage3" / "model" / "lineage.json").read_text())
    assert [entry["stage"] for entry in lineage] == [
        "ConnectorAlignment",
        "InstructionTuning",
        "Annealing",
    ]
    assert document["model"] == str(out / "stage3" / "model")
    tried = shlex.split(document["try_command"])
    assert tried[:4] == ["semihvision", "chat", "--model", document["model"]]
    assert main([*tried[1:], "--max-new-tokens", "2"]) == 0
    assert tried[tried.index("--ask") + 1].endswith("?")


def test_a_folder_of_somebody_else_is_not_emptied(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    assert main(["quickstart", "--out", str(tmp_path)]) == 2
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_what_an_earlier_quickstart_left_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    for number in range(3):
        (_fresh(out) / "model").write_text(f"of run {number}")
    found = {path.name: (path / "model").read_text() for path in tmp_path.iterdir()}
    assert found == {
        "out-previous-1": "of run 0",
        "out-previous-2": "of run 1",
        "out": "of run 2",
    }
    assert f"the earlier {out} is kept as {out}-previous-2" in capsys.readouterr().err


def test_the_folder_that_it_runs_in_is_not_renamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(_fresh(tmp_path / "out"))
    assert main(["quickstart", "--out", "."]) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_stage_that_is_stopped_says_how_it_alone_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from semihvision.cli import train

    def stopped(argv: list[str]) -> None:
        raise SystemExit(143)

    monkeypatch.setattr(train, "train", stopped)
    work = quickstart_steps.Workspace(out=tmp_path / "out", seed=5)
    with pytest.raises(SystemExit) as ended:
        quickstart_steps.train_stage(work, 2)
    assert ended.value.code == 143
    file = tmp_path / "out" / "configs" / "stage2.yaml"
    said = capsys.readouterr().err
    assert f"semihvision fit -c {file} --seed_everything 5" in said
    assert "begins anew" in said
    # All that a stage of the quickstart reads and writes is in its own folder.
    assert "runs/" not in "".join(line.partition("#")[0] for line in file.read_text().splitlines())


def test_the_stages_used_by_hand_leave_the_quickstarts_files_alone() -> None:
    for stage in quickstart_steps.STAGES:
        text = (quickstart_steps.CONFIGS / f"stage{stage}.yaml").read_text()
        written = re.findall(r"\{(?:folder|dirpath): (runs/\S+/)", text)
        assert [place.split("/")[:3] for place in written] == [
            ["runs", "tiny", f"stage{stage}"]
        ] * 2


def test_help_counts_the_sources_that_are_drawn(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["quickstart", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert f"in the layout of {len(quickstart_steps.CASES)} sources" in text
    assert "OUT-previous-1" in text


def test_an_endpoint_without_a_model_is_wrong_usage(tmp_path: Path) -> None:
    argv = ["quickstart", "--out", str(tmp_path / "out"), "--base-url", "http://127.0.0.1:1/v1"]
    assert main(argv) == 2
    assert not (tmp_path / "out").exists()


def test_only_what_this_project_made_may_go_to_a_hosted_model() -> None:
    endpoint = "https://api.example.org/v1"
    permissions = quickstart_steps.demo_permissions(endpoint)
    allowed = {
        source: may_send(card(source), endpoint, permissions).allowed
        for source in quickstart_steps.CASES
    }
    assert allowed.pop("mimic_cxr") is False
    assert all(allowed.values())


def test_a_missing_configuration_says_where_quickstart_runs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(quickstart_steps, "CONFIGS", tmp_path)
    work = quickstart_steps.Workspace(out=tmp_path / "out", seed=0)
    with pytest.raises(InputError, match="clone of the repository"):
        quickstart_steps.train_stage(work, 1)
