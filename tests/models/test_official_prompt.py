"""An official checkpoint's prompt: known by its text's hash and its first image's position."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from models.official_prompt import OFFICIAL_SYSTEM_SHA256, OfficialPrompt, read_system_prompt
from models.presets import preset
from models.processing import PMCCambrianProcessor
from models.processor_settings import SETTINGS_FILE
from models.stages import InstructionTuning
from semihvision.core.batch import Turn
from semihvision.core.errors import InputError

SYSTEM = "A stand-in \n    for the official text, which is not shipped. "
QUESTION, ANSWER = Turn("human", "<image>\nWhich side?"), Turn("gpt", "left")


@pytest.fixture(scope="module")
def official() -> OfficialPrompt:
    """What the stand-in text gives with the tiny tokenizer."""
    template = PMCCambrianProcessor.from_preset("tiny", system_prompt=SYSTEM).template
    digest = hashlib.sha256(SYSTEM.encode()).hexdigest()
    return OfficialPrompt(image_position=template.num_tokens_before_user(), system_sha256=digest)


@pytest.fixture
def folder(tmp_path: Path, official: OfficialPrompt) -> Path:
    """A folder as `convert from-cambrian` makes it, the official text included."""
    preset("tiny").save_pretrained(tmp_path)
    made = PMCCambrianProcessor.from_preset("tiny", system_prompt=SYSTEM, official=official)
    made.save_pretrained(tmp_path)
    return tmp_path


def test_the_right_prompt_is_taken_and_travels(folder: Path, official: OfficialPrompt) -> None:
    assert PMCCambrianProcessor.from_pretrained(folder).official == official
    settings = json.loads((folder / SETTINGS_FILE).read_text())
    assert settings["official"] == asdict(official)
    made = PMCCambrianProcessor(preset("tiny"), **settings)
    assert made.official == official


def test_the_published_values_are_the_default() -> None:
    assert OfficialPrompt() == OfficialPrompt(
        image_position=91, system_sha256=OFFICIAL_SYSTEM_SHA256
    )
    assert OFFICIAL_SYSTEM_SHA256.startswith("a63d7693")


@pytest.mark.parametrize(
    ("text", "message"), [("", "is empty"), (SYSTEM.rstrip(), "has 60 characters")]
)
def test_another_text_is_refused_unless_it_is_meant(
    folder: Path, official: OfficialPrompt, text: str, message: str
) -> None:
    with pytest.raises(InputError, match=rf"{message}.*{official.system_sha256}.*other_prompt"):
        PMCCambrianProcessor.from_pretrained(folder, system_prompt=text)
    made = PMCCambrianProcessor.from_pretrained(folder, system_prompt=text, other_prompt=True)
    assert made.template.system_prompt == text
    assert made.official is None


def test_another_position_is_refused(folder: Path, official: OfficialPrompt) -> None:
    settings = json.loads((folder / SETTINGS_FILE).read_text())
    for change in ({"template": "meta"}, {"official": asdict(official) | {"image_position": 91}}):
        (folder / SETTINGS_FILE).write_text(json.dumps(settings | change))
        with pytest.raises(InputError, match=r"first image stands at token \d+.*image_position"):
            PMCCambrianProcessor.from_pretrained(folder)


def test_every_sample_is_checked(
    folder: Path, official: OfficialPrompt, picture: Callable[..., Image.Image]
) -> None:
    made = PMCCambrianProcessor.from_pretrained(folder)
    image = made.prepare_image(picture(20, 20))
    ids = made.encode("r#1", [QUESTION, ANSWER], [image])["input_ids"].tolist()
    assert ids.index(-200) == official.image_position
    with pytest.raises(InputError, match="image_position"):
        made.check("r#1", [Turn("system", "Own."), QUESTION, ANSWER], [(20, 20)])
    # Without an image at the start there is nothing that the position could be wrong for.
    made.check("r#1", [Turn("system", "Own."), Turn("human", "Hi"), ANSWER], [])


def test_damaged_settings_are_refused(folder: Path) -> None:
    settings = json.loads((folder / SETTINGS_FILE).read_text())
    settings["official"] = {"position": 91}
    (folder / SETTINGS_FILE).write_text(json.dumps(settings))
    with pytest.raises(InputError, match="processor's settings"):
        PMCCambrianProcessor.from_pretrained(folder)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (SYSTEM, SYSTEM),
        (SYSTEM + "\n", SYSTEM),
        (SYSTEM + "\r\n", SYSTEM),
        ("a\r\nb\n\n", "a\r\nb\n"),
    ],
)
def test_one_line_break_at_the_end_is_the_editors(tmp_path: Path, written: str, read: str) -> None:
    (tmp_path / "system.txt").write_bytes(written.encode())
    assert read_system_prompt(tmp_path / "system.txt") == read


@pytest.mark.parametrize("content", [None, b"", b" \n", b"\xff\xfe\x00"])
def test_an_unusable_file_is_refused(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "system.txt").write_bytes(content)
    with pytest.raises(InputError, match=r"system\.txt"):
        read_system_prompt(tmp_path / "system.txt")


def test_a_stage_keeps_to_the_prompt_of_the_weights_it_takes_over(
    folder: Path, official: OfficialPrompt, tmp_path_factory: pytest.TempPathFactory
) -> None:
    text = tmp_path_factory.mktemp("prompt") / "system.txt"
    text.write_text(SYSTEM + "\n")
    given = {"system_prompt_file": str(text), "init_from": str(folder)}
    assert InstructionTuning(**given).processor.official == official
    # The folder holds the text.
    assert InstructionTuning(init_from=str(folder)).processor.template.system_prompt == SYSTEM
    with pytest.raises(InputError, match="is empty"):
        InstructionTuning(init_from=str(folder), system_prompt="")
    with pytest.raises(InputError, match="image_position"):
        InstructionTuning(**given, template="meta")
    free = InstructionTuning(init_from=str(folder), template="meta", other_prompt=True)
    assert free.processor.official is None
    assert free.processor.template.style == "meta"
    with pytest.raises(InputError, match="both given"):
        InstructionTuning(system_prompt="x", system_prompt_file=str(text))
    assert InstructionTuning(too_long="shorten").processor.too_long == "shorten"


def test_a_stage_goes_on_with_the_settings_of_the_folder_unless_it_is_given_others(
    tmp_path: Path,
) -> None:
    preset("tiny").save_pretrained(tmp_path)
    PMCCambrianProcessor.from_preset(
        "tiny", system_prompt="Be kind.", template="meta", preprocessing="fast", max_length=77
    ).save_pretrained(tmp_path)

    def settings(**given: Any) -> tuple[str, str, str, int]:
        made = InstructionTuning(**given).processor
        template = made.template
        return template.system_prompt, template.style, made.preprocessing, made.max_length

    taken: dict[str, Any] = {"init_from": str(tmp_path), "max_length": 99}
    assert settings(**taken) == ("Be kind.", "meta", "fast", 99)
    others = {"system_prompt": "", "template": "cambrian", "preprocessing": "reference"}
    assert settings(**taken, **others) == ("", "cambrian", "reference", 99)
    assert settings(max_length=99) == ("", "cambrian", "reference", 99)
    with pytest.raises(InputError, match="preprocessing is 'quick'"):
        settings(preprocessing="quick")
