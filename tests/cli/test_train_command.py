"""`fit` and `predict` as a user runs them, in this process, on a twin of a few phantoms."""

import json
import re
from pathlib import Path

import pytest

from data_modules import vqa_rad
from models.stages.handoff import read_lineage
from semihvision.cli.main import main
from semihvision.tracking import TRAIN, ensure_experiment, store_client

pytestmark = pytest.mark.filterwarnings(
    # The advice and notes that `fit` itself hides from its users.
    "ignore:.*does not have many workers:UserWarning",
    "ignore:LightningCLI's args parameter:UserWarning",
    "ignore:Total length of:UserWarning",
    "ignore:Found .* module.s. in eval mode:UserWarning",
    # lightning 2.6 calls a method that jsonargparse 4.53 has renamed.
    "ignore::jsonargparse._deprecated.JsonargparseDeprecationWarning",
)


@pytest.fixture
def config(tmp_path: Path, mlflow_store: object) -> Path:
    """A configuration of one step on six phantoms, one of whose images is damaged."""
    root = tmp_path / "vqa_rad"
    root.mkdir()
    vqa_rad.write_twin(root, cases=6, seed=0)
    image = json.loads((root / "trainset.json").read_text())[0]["image_name"]
    (root / "images" / image).write_bytes(b"damaged")
    file = tmp_path / "fit.yaml"
    file.write_text(
        f"""
run_name: one step
model:
  class_path: models.InstructionTuning
  init_args: {{preset: tiny, max_length: 256, max_new_tokens: 2}}
data:
  class_path: data_modules.VQARADDataModule
  init_args: {{root: {root}, batch_size: 2, validation_fraction: 0.0}}
trainer:
  accelerator: cpu
  devices: 1
  max_steps: 1
  default_root_dir: {tmp_path}
  enable_checkpointing: false
  log_every_n_steps: 1
  callbacks:
    - class_path: semihvision.training.ModelFolder
      init_args: {{folder: {tmp_path}/model}}
    - class_path: semihvision.training.PredictionWriter
      init_args: {{file: {tmp_path}/answers.jsonl}}
"""
    )
    return file


def test_fit_leaves_a_model_its_history_and_a_traceable_run(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fit", "-c", str(config)]) == 3
    captured = capsys.readouterr()
    assert captured.out == ""
    assert re.search(
        r"^training, epoch 1, train/loss [\d.]+, steps: 1 of 1 \(100 %\), \d+ s$"
        r".*^fit done: 1 step, train/loss .*^model: +\S+/model$",
        captured.err,
        re.DOTALL | re.MULTILINE,
    )
    refused = (tmp_path / "fit.refused.jsonl").read_text().splitlines()
    assert len(refused) >= 1
    assert json.loads(refused[0])["kind"]

    (run,) = store_client().search_runs(
        [ensure_experiment(TRAIN)], "attributes.run_name = 'one step'"
    )
    assert run.data.metrics["train/loss"] > 0
    assert int(run.data.params["refused"]) == len(refused)
    assert int(run.data.params["samples/train"]) > 0
    assert run.data.tags["stage"] == "InstructionTuning"
    assert len(run.data.tags["data_hash"]) == 64
    assert run.data.tags["git_commit"]
    artifacts = [item.path for item in store_client().list_artifacts(run.info.run_id)]
    assert "config.yaml" in artifacts

    (entry,) = read_lineage(tmp_path / "model")
    assert entry["data_hash"] == run.data.tags["data_hash"]
    assert entry["steps"] == 1
    assert list(entry["data"]["sources"]) == ["vqa_rad"]
    assert list(entry["data"]["producers"]) == ["human"]

    argv = ["predict", "-c", str(config), f"--model.init_args.init_from={tmp_path / 'model'}"]
    assert main(argv) == 3
    answers = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text().splitlines()]
    assert len(answers) > 0
    assert all(answer["id"].startswith("vqa_rad/") for answer in answers)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (
            "--model.init_args.learning_rat=1",
            "--model.init_args.learning_rat: no such setting of models.InstructionTuning; "
            "did you mean learning_rate?",
        ),
        ("--data.init_args.rooot=x", "did you mean root?"),
        ("--model.class_path=models.Anealing", "did you mean models.Annealing?"),
        ("--trainer.max_stepz=1", "--trainer.max_stepz: no such option; did you mean --trainer"),
    ],
)
def test_an_unknown_key_or_class_is_wrong_usage(
    config: Path, wrong: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["fit", "-c", str(config), wrong])
    assert stop.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        (
            "max_length: 256",
            "max_lenght: 256",
            "line 5: model.init_args.max_lenght: no such setting of models.InstructionTuning; did "
            "you mean max_length?",
        ),
        (
            "max_steps: 1",
            "max_steps: one",
            "line 12: trainer.max_steps: expected a whole number, found one",
        ),
        (
            "batch_size: 2",
            "batch_size: [2]",
            "line 8: data.init_args.batch_size: expected a whole number, found [2]",
        ),
        (
            "{folder:",
            "{foldr:",
            "line 18: trainer.callbacks[0].init_args.foldr: no such setting of "
            "semihvision.training.ModelFolder; did you mean folder?",
        ),
        ("trainer:", "trainr:", "line 9: trainr: no such setting; did you mean trainer?"),
        (
            "semihvision.training.PredictionWriter",
            "semihvision.training.PredictionWritr",
            "line 19: trainer.callbacks[1].class_path: no class",
        ),
    ],
)
def test_a_wrong_line_of_a_configuration_is_named(
    config: Path, right: str, wrong: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    config.write_text(config.read_text().replace(right, wrong, 1))
    with pytest.raises(SystemExit) as stop:
        main(["fit", "-c", str(config)])
    assert stop.value.code == 2
    first = capsys.readouterr().err.splitlines()[0]
    assert first.startswith(f"semihvision fit: {config}, {said}")


def test_a_missing_interpolation_key_is_wrong_usage(config: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text(config.read_text().replace("max_steps: 1", "max_steps: ${..nothing}"))
    assert main(["fit", "-c", str(broken)]) == 2


def test_the_same_command_goes_on_in_the_same_mlflow_run(config: Path, tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    text = (
        config.read_text()
        .replace("one step", "two parts")
        .replace(
            "  callbacks:\n",
            "  callbacks:\n"
            "    - class_path: semihvision.training.ResumableCheckpoint\n"
            f"      init_args: {{dirpath: {folder}, every_n_steps: 1}}\n",
        )
    )
    config.write_text(text)
    assert main(["fit", "-c", str(config)]) == 3
    config.write_text(text.replace("max_steps: 1", "max_steps: 2"))
    assert main(["fit", "-c", str(config)]) == 3
    assert sorted(path.name for path in folder.iterdir()) == ["step-000000001", "step-000000002"]

    (run,) = store_client().search_runs(
        [ensure_experiment(TRAIN)], "attributes.run_name = 'two parts'"
    )
    history = store_client().get_metric_history(run.info.run_id, "train/loss")
    assert [one.step for one in history] == [0, 1]
    assert read_lineage(tmp_path / "model")[0]["steps"] == 2

    argv = ["fit", "-c", str(config), "--model.class_path=models.Annealing"]
    assert main(argv) == 2


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("--model.init_args.init_from=nowhere", "nowhere holds no model"),
        ("--data.init_args.root=nowhere", "nowhere"),
    ],
)
def test_what_a_stage_or_data_module_refuses_is_wrong_usage(
    config: Path, setting: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fit", "-c", str(config), setting]) == 2
    told = capsys.readouterr().err
    assert message in told
    assert "Namespace" not in told


def test_devices_that_are_no_number_are_wrong_usage(config: Path, tmp_path: Path) -> None:
    assert main(["fit", "-c", str(config), "--trainer.devices=many"]) == 2
