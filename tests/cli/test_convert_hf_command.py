"""`convert to-hf` as a user runs it, and `evaluate` on what it wrote."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import torch

from data_modules import vqa_rad
from models import PMCCambrian, PMCCambrianProcessor
from models.official_prompt import OfficialPrompt
from semihvision.cli.main import main


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "stage3"
    torch.manual_seed(0)
    PMCCambrian.from_preset("tiny").save_pretrained(folder)
    PMCCambrianProcessor.from_preset("tiny").save_pretrained(folder)
    return folder


def test_it_writes_a_folder_that_evaluate_takes(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], mlflow_store: object
) -> None:
    out = tmp_path / "hf"
    words = ["convert", "to-hf", "--model", str(source), "--out", str(out)]
    assert main([*words, "--max-shard-size", "2MB", "--dtype", "bfloat16", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["folder"] == str(out)
    assert document["weights"]["num_files"] == len(list(out.glob("*.safetensors"))) > 1
    assert document["weights"]["dtypes"] == ["bfloat16"]
    assert set(document["code_files"]) == {file.name for file in out.glob("*.py")}

    vqa_rad.write_twin(tmp_path / "twin", cases=4, seed=0)
    settings = f"model: {out}\nbenchmarks: {{vqa_rad: {tmp_path}/twin}}\nmax_tokens: 2\n"
    (tmp_path / "evaluate.yaml").write_text(settings + f"out: {tmp_path}/answers\n")
    assert main(["evaluate", "-c", str(tmp_path / "evaluate.yaml"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["evaluations"]


def test_the_table_says_where_and_how_much(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["convert", "to-hf", "--model", str(source), "--out", str(tmp_path / "hf")]) == 0
    assert "1,511,944" in capsys.readouterr().out


def test_an_official_folder_takes_its_text_or_another_on_purpose(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, text = tmp_path / "official", "A stand-in text. "
    shutil.copytree(source, folder)
    made = PMCCambrianProcessor.from_preset("tiny", system_prompt=text)
    official = OfficialPrompt(
        image_position=made.template.num_tokens_before_user(),
        system_sha256=hashlib.sha256(text.encode()).hexdigest(),
    )
    PMCCambrianProcessor.from_preset("tiny", official=official).save_pretrained(folder)
    words = ["convert", "to-hf", "--model", str(folder), "--out"]
    assert main([*words, str(tmp_path / "refused")]) == 2
    assert "the system prompt is empty" in capsys.readouterr().err
    assert not (tmp_path / "refused").exists()

    (tmp_path / "text.txt").write_text(text)
    out = tmp_path / "with text"
    assert main([*words, str(out), "--system-prompt", str(tmp_path / "text.txt")]) == 0
    read = PMCCambrianProcessor.from_pretrained(out)
    assert (read.template.system_prompt, read.official) == (text, official)

    out = tmp_path / "other"
    assert main([*words, str(out), "--other-prompt"]) == 0
    read = PMCCambrianProcessor.from_pretrained(out)
    assert (read.template.system_prompt, read.official) == ("", None)


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--max-shard-size", "5 apples"], "expected a whole number and KB, MB or GB"),
        (["--dtype", "int8"], "expected one of float32, bfloat16, float16"),
        (["--out", "."], "already there"),
    ],
)
def test_wrong_use_is_exit_code_2(
    extra: list[str],
    message: str,
    source: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["convert", "to-hf", "--model", str(source), "--out", str(tmp_path / "hf"), *extra]
    assert main(words) == 2
    assert message in capsys.readouterr().err
