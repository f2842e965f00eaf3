"""`fit --estimate` as a user runs it, on a twin of a few phantoms."""

import inspect
import json
import socket
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest

from data_modules import base, example_dataset, vqa_rad
from models import InstructionTuning, PMCCambrianProcessor
from models.presets import preset
from semihvision.cli.estimate_epoch import processor
from semihvision.cli.main import main

REPOSITORY = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.filterwarnings(
    "ignore:LightningCLI's args parameter:UserWarning",
    # lightning 2.6 calls a method that jsonargparse 4.53 has renamed.
    "ignore::jsonargparse._deprecated.JsonargparseDeprecationWarning",
)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    root = tmp_path / "vqa_rad"
    root.mkdir()
    vqa_rad.write_twin(root, cases=6, seed=0)
    file = tmp_path / "fit.yaml"
    file.write_text(
        f"""
model:
  class_path: models.InstructionTuning
  init_args: {{preset: tiny, max_length: 256}}
data:
  class_path: data_modules.VQARADDataModule
  init_args: {{root: {root}, batch_size: 2, global_batch_size: 8, validation_fraction: 0.0}}
trainer:
  accelerator: gpu
  devices: 8
  max_epochs: 3
  precision: bf16-mixed
"""
    )
    return file


def estimate(config: Path, *more: str) -> int:
    return main(["fit", "-c", str(config), "--estimate", *more])


def test_one_document_with_memory_and_run(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (base, example_dataset):
        monkeypatch.setattr(module, "read_image", None)  # none is decoded
    assert estimate(config, "--gpus", "2", "--gpu", "h200", "--mfu", "0.5", "--json") == 0
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    memory = document["memory_bytes"]
    assert document["memory_total_bytes"] == sum(memory.values()) - 2 * memory["host"]
    assert document["fits"]
    assert document["batch"]["batches_per_step"] == 2
    run = document["run"]
    assert run["steps"] % 3 == 0
    assert run["epochs"] == 3
    assert run["gpu_hours"] == pytest.approx(2 * run["hours"])
    assert run["energy_kwh"] == pytest.approx(0.7 * run["gpu_hours"])
    assert document["assumptions"][0] == "tokens from the data"


def test_without_data_the_numbers_given_count(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = f"--data.init_args.root={config.parent / 'nothing'}"
    assert estimate(config, gone, "--gpus", "1", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["run"] is None
    assert "data not read" in document["assumptions"][0]
    numbers = ("--samples", "80", "--tokens-per-sample", "100")
    assert estimate(config, gone, *numbers, "--gpus", "1", "--json") == 0
    run = json.loads(capsys.readouterr().out)["run"]
    assert (run["tokens"], run["images"], run["steps"]) == (24000, 240, 30)


def test_what_does_not_fit_fails_the_check_and_is_told_what_to_change(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    numbers = ("--data.init_args.batch_size=60000", "--data.init_args.global_batch_size=0")
    given = ("--samples", "80", "--tokens-per-sample", "256", "--images-per-sample", "0")
    assert estimate(config, *numbers, *given, "--gpus", "1", "--gpu", "a100") == 4
    shown = capsys.readouterr()
    assert "GPU total" in shown.out
    assert "does not fit" in shown.err
    assert "batch_size: 1 ->" in shown.err


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (("--mfu", "0"), "0 < mfu"),
        (("--gpus", "3"), "global_batch_size 8 cannot be divided by 3 GPUs"),
        (("--samples", "5"), "--samples needs --tokens-per-sample"),
        (("--tokens-per-sample", "5"), "--samples needs --tokens-per-sample"),
        (
            ("--samples", "5", "--tokens-per-sample", "257"),
            "a sample may have 256 (model.init_args",
        ),
        (("--samples", "5", "--tokens-per-sample", "40"), "--images-per-sample 1: square images"),
        (("--images-per-sample", "7"), "--images-per-sample 7: square images"),
        (("--data.init_args.packing={tokens: 40, images: 1}",), "packing.tokens is 40"),
        (("--model.init_args.max_length=42",), "max_length is 42"),
        (("--model.init_args.preset=9b",), "unknown preset '9b'"),
    ],
)
def test_unusable_settings_are_named(
    config: Path, wrong: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert estimate(config, *wrong) == 2
    assert message in capsys.readouterr().err


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Hosts that were looked up; none is reached."""
    hosts: list[str] = []

    def refuse(host: str, *_: object, **__: object) -> None:
        hosts.append(host)
        raise OSError("no network in tests")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    return hosts


EIGHT_B = [
    pytest.param("stage1", "models-in/cambrian-8b"),
    pytest.param("stage2", "runs/stage1/model", marks=pytest.mark.slow),
    pytest.param("stage3", "runs/stage2/model", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("stage", "folder"), EIGHT_B)
def test_the_readmes_command_for_the_8b_stages(
    stage: str,
    folder: str,
    asked: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)  # without models or data
    config = REPOSITORY / "configs/train" / f"{stage}.yaml"
    assert estimate(config, "--gpus", "8", "--gpu", "h100", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    # A row of 4,096 tokens has room for 6 square images of 600.
    rows = document["batch"]["positions"] // 4096
    assert rows == 4
    assert document["batch"]["images"] == 6 * rows
    assert document["batch"]["scored_tokens"] == 496 * rows
    assert document["run"] is None
    assert f"no model folder {folder}" in document["assumptions"][0]
    assert asked == []


def test_numbers_count_in_packed_rows(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    packing = "--data.init_args.packing={tokens: 200, images: 8}"
    numbers = ("--samples", "80", "--tokens-per-sample", "100", "--images-per-sample", "1")
    assert estimate(config, packing, *numbers, "--gpus", "1", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["batch"]["images"] == 2 * 2
    run = document["run"]
    assert (run["tokens"], run["images"], run["steps"]) == (24000, 240, 3 * 40 // 8)


def test_the_prompt_counts_as_the_stage_would_take_it(tmp_path: Path) -> None:
    text = tmp_path / "system.txt"
    text.write_text("Be kind.")
    folder = tmp_path / "model"
    preset("tiny").save_pretrained(folder)
    PMCCambrianProcessor.from_preset("tiny", system_prompt="Of the folder.").save_pretrained(folder)
    cases: list[tuple[dict[str, Any], str]] = [
        ({}, ""),
        ({"system_prompt_file": str(text)}, "Be kind."),
        ({"init_from": str(folder)}, "Of the folder."),
        ({"init_from": str(folder), "system_prompt_file": str(text)}, "Be kind."),
    ]
    for given, expected in cases:
        settings = {
            name: parameter.default
            for name, parameter in inspect.signature(InstructionTuning).parameters.items()
        }
        made = InstructionTuning(**given).processor
        assert processor(settings | given).template.system_prompt == expected
        assert made.template.system_prompt == expected
