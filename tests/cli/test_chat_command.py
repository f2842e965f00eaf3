"""`semihvision chat`: one question, or a dialogue from standard input."""

import io
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from models import PMCCambrian, PMCCambrianProcessor
from models.official_prompt import OfficialPrompt
from models.processor_settings import SETTINGS_FILE
from semihvision.cli.chat import HELP, NOTICE, printer
from semihvision.cli.main import main


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    PMCCambrian.from_preset("tiny").save_pretrained(folder)
    PMCCambrianProcessor.from_preset("tiny").save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("images") / "x y.png"
    pixels = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def chat(capsys: Any, folder: Path, *arguments: object) -> tuple[int, str, str]:
    code = main(["chat", "--model", str(folder), "--max-new-tokens", "6", *map(str, arguments)])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_one_question_streams_its_answer_or_gives_one_document(
    model_folder: Path, image: Path, capsys: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    asked = ("--image", image, "--image", image, "--ask", "Which side, Ms Q.?")
    code, said, told = chat(capsys, model_folder, *asked)
    assert code == 0
    assert told.count(NOTICE) == 1
    code, document, _ = chat(capsys, model_folder, *asked, "--json")
    answer = json.loads(document)
    assert code == 0
    assert said.strip() == printed_form(answer["text"])
    assert answer["images"] == 2
    assert answer["prompt_tokens"] > 2 * 20
    assert answer["num_tokens"] <= 6
    assert "Ms Q." not in caplog.text + document
    _, drawn, _ = chat(capsys, model_folder, *asked, "--temperature", 2, "--seed", 3)
    assert drawn != said


def printed_form(text: str) -> str:
    shown: list[str] = []
    printer(shown.append)(text)
    return "".join(shown).strip()


def test_a_dialogue_takes_images_and_questions_and_survives_mistakes(
    model_folder: Path, image: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [
        f"/image {image}",
        "Which side?",
        "",
        "/image nowhere.png",
        "/imag x",
        "word " * 2000,
        "And now?",
        "/reset",
        "Which side?",
        "/quit",
        "never asked",
    ]
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(lines)))
    code, said, told = chat(capsys, model_folder)
    assert code == 0
    assert told.count(NOTICE) == told.count("not a medical device") == 1
    assert NOTICE + HELP in told
    assert "added to the next question" in told
    assert "nowhere.png: no such image" in told
    assert "/imag is no command" in told
    assert "at most 1024" in told
    assert "started anew" in told
    assert said.count("\n") >= 3
    assert "Traceback" not in told


def test_a_longer_dialogue_is_a_choice_up_to_the_models_positions(
    model_folder: Path, capsys: Any
) -> None:
    asked = ("--ask", "word " * 400, "--json")
    code, _, told = chat(capsys, model_folder, *asked)
    assert code == 2
    assert "at most 1024" in told
    code, document, told = chat(capsys, model_folder, *asked, "--max-length", 2048)
    assert code == 0
    assert 1024 < json.loads(document)["prompt_tokens"] <= 2048
    assert "Loading weights" not in told
    for wrong in (0, 2049):
        code, _, told = chat(capsys, model_folder, *asked, "--max-length", wrong)
        assert code == 2
        assert f"max_length {wrong}: expected 1 to 2048" in told


def test_a_device_without_room_is_told_what_helps(
    model_folder: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")

    monkeypatch.setattr(PMCCambrian, "generate", full)
    code, _, told = chat(capsys, model_folder, "--ask", "x")
    assert code == 2
    assert "--dtype bfloat16" in told
    assert "Traceback" not in told


def test_input_that_ends_ends_the_dialogue(
    model_folder: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert chat(capsys, model_folder)[:2] == (0, "")


def test_unusable_arguments_say_what_is_expected(
    model_folder: Path, image: Path, tmp_path: Path, capsys: Any
) -> None:
    text = tmp_path / "notes.png"
    text.write_text("no image")
    cases: list[tuple[tuple[object, ...], str]] = [
        (("--json",), "--json goes with --ask"),
        (("--ask", " "), "question is empty"),
        (("--ask", "x", "--image", text), "notes.png: unreadable image"),
        (("--ask", "x", "--image", tmp_path), "no such image"),
        (("--ask", "word " * 2000), "at most 1024"),
        (("--ask", "x", "--device", "tpu"), "expected one of auto, cpu, cuda"),
        (("--ask", "x", "--dtype", "int8"), "expected one of auto, float32"),
        (("--ask", "x", "--top-p", "0.5"), "draws nothing"),
        (("--ask", "x", "--system-prompt", tmp_path / "none.txt"), "none.txt"),
    ]
    for arguments, message in cases:
        code, said, told = chat(capsys, model_folder, *arguments)
        assert (code, said) == (2, "")
        assert message in told
    code, _, told = chat(capsys, tmp_path, "--ask", "x")
    assert code == 2
    assert "processing.json" in told


def test_an_official_folder_wants_its_text_or_to_be_told(
    model_folder: Path, tmp_path: Path, capsys: Any
) -> None:
    for file in model_folder.iterdir():
        (tmp_path / file.name).symlink_to(file)
    settings = tmp_path / SETTINGS_FILE
    fields = json.loads(settings.read_text())
    settings.unlink()
    official = OfficialPrompt()
    settings.write_text(json.dumps(fields | {"official": vars(official)}))
    code, _, told = chat(capsys, tmp_path, "--ask", "x")
    assert code == 2
    assert official.system_sha256 in told
    code, said, _ = chat(capsys, tmp_path, "--ask", "x", "--other-prompt", "--json")
    assert (code, json.loads(said)["complete"]) in {(0, True), (0, False)}


def test_an_answer_cannot_steer_the_terminal() -> None:
    assert printed_form("a\x1b[2Jb\x07\nc\td é") == "a[2Jb\nc\td é"
