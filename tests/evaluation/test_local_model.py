"""The tiny model answers; what it says is nonsense, so these are properties, not values."""

import copy
import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from evaluation.local_model import LocalAnswerer
from evaluation.predictions import Prediction
from evaluation.questions import Picture, Question
from models import PMCCambrian, PMCCambrianProcessor
from models.official_prompt import OfficialPrompt
from semihvision.core.batch import Turn
from semihvision.core.errors import InputError


@pytest.fixture(scope="module")
def model() -> PMCCambrian:
    torch.manual_seed(0)
    return PMCCambrian.from_preset("tiny")


@pytest.fixture(scope="module")
def processor() -> PMCCambrianProcessor:
    return PMCCambrianProcessor.from_preset("tiny")


READS: list[str] = []


def picture(number: int) -> Picture:
    def read() -> Image.Image:
        READS.append(str(number))
        noise = np.random.default_rng(number).integers(0, 255, (30, 20 + 10 * number, 3))
        return Image.fromarray(noise.astype(np.uint8))

    return Picture(key=str(number), size_wh=(20 + 10 * number, 30), read=read)


def question(name: str, *pictures: Picture, words: str = "What is it?") -> Question:
    turns = (Turn("human", "<image>\n" * len(pictures) + words),)
    return Question(id=name, source="vqa_rad", turns=turns, pictures=pictures)


QUESTIONS = [
    question("a", picture(0)),
    question("b", picture(1), words="Is there a lesion in the left lung, and if so, how large?"),
    question("c", picture(0), words="Which organ?"),
    question("d"),
    question("e", picture(1), picture(2)),
]


def answers(model, processor, *questions: Question, batch_size: int = 8) -> dict[str, Prediction]:
    answerer = LocalAnswerer(
        model, processor, model_hash="0", batch_size=batch_size, max_new_tokens=6
    )
    found: list[Prediction] = []
    answerer.answer(questions, found.append)
    assert len({one.id for one in found}) == len(found)
    return {one.id: one for one in found}


def test_answers_do_not_depend_on_the_batch_or_the_order(model, processor):
    together = answers(model, processor, *QUESTIONS)
    assert set(together) == set("abcde")
    assert all(
        one.answer is not None and 1 <= (one.num_tokens or 0) <= 6 for one in together.values()
    )
    alone = answers(model, processor, *reversed(QUESTIONS), batch_size=1)
    assert alone == together


def test_pixels_reach_the_towers_as_they_were_prepared(model, processor, monkeypatch):
    seen: list[torch.Tensor] = []

    def noting(_self, ids, _mask, pixels, _sizes, **_settings):
        seen.extend(pixels)
        return torch.zeros(len(ids), 1, dtype=torch.int64)

    monkeypatch.setattr(PMCCambrian, "generate", noting)
    answers(copy.deepcopy(model).bfloat16(), processor, QUESTIONS[0])
    expected = processor.prepare_image(picture(0).read()).pixels
    assert [torch.equal(given[0], made) for given, made in zip(seen, expected, strict=True)] == [
        True
    ] * len(expected)


def test_an_image_is_read_once_for_all_its_questions(model, processor):
    READS.clear()
    answers(model, processor, *QUESTIONS, batch_size=2)
    assert sorted(READS) == ["0", "1", "2"]


def test_unreadable_image_and_too_long_prompt_are_missing_with_reasons(model, processor):
    def unreadable() -> Image.Image:
        raise InputError("x.png: unreadable image")

    broken = question("x", Picture(key="x", size_wh=(9, 9), read=unreadable))
    long = question("y", words="word " * 5000)
    found = answers(model, processor, broken, long, QUESTIONS[0])
    assert found["x"].answer is None
    assert found["x"].reason == "x.png: unreadable image"
    assert found["y"].answer is None
    assert "expected at most" in found["y"].reason
    assert found["a"].answer is not None


def test_a_saved_folder_answers_the_same_and_is_identified_by_its_weights(
    model, processor, tmp_path
):
    model.save_pretrained(tmp_path / "one")
    processor.save_pretrained(tmp_path / "one")
    loaded = LocalAnswerer.load(tmp_path / "one", max_new_tokens=6)
    found: list[Prediction] = []
    loaded.answer(QUESTIONS, found.append)
    assert {one.id: one for one in found} == answers(model, processor, *QUESTIONS)
    before = loaded.identity["checkpoint_hash"]
    with (tmp_path / "one" / "model.safetensors").open("r+b") as stream:
        stream.seek(-1, 2)
        last = stream.read(1)[0]
        stream.seek(-1, 2)
        stream.write(bytes([last ^ 1]))
    changed = LocalAnswerer.load(tmp_path / "one", max_new_tokens=6)
    assert changed.identity["checkpoint_hash"] != before


def test_another_system_text_is_asked_with_and_is_another_identity(
    model, processor, tmp_path, monkeypatch
):
    folder, text = tmp_path / "one", tmp_path / "system.txt"
    model.save_pretrained(folder)
    official = OfficialPrompt(
        image_position=PMCCambrianProcessor.from_preset(
            "tiny", system_prompt="Be kind."
        ).template.num_tokens_before_user(),
        system_sha256=hashlib.sha256(b"Be kind.").hexdigest(),
    )
    PMCCambrianProcessor.from_preset("tiny", official=official).save_pretrained(folder)
    with pytest.raises(InputError, match=r"is empty.*system_prompt_file"):
        LocalAnswerer.load(folder)
    text.write_text("Be kind.\n")
    asked = LocalAnswerer.load(folder, system_prompt_file=str(text), max_new_tokens=2)
    free = LocalAnswerer.load(folder, other_prompt=True, max_new_tokens=2)
    assert asked.identity["checkpoint_hash"] == free.identity["checkpoint_hash"]
    assert asked.identity["system_prompt_hash"] == official.system_sha256
    assert free.identity["system_prompt_hash"] == hashlib.sha256(b"").hexdigest()
    lengths: list[int] = []

    def noting(_self, ids, *_inputs, **_settings):
        lengths.append(ids.shape[1])
        return torch.zeros(len(ids), 1, dtype=torch.int64)

    monkeypatch.setattr(PMCCambrian, "generate", noting)
    for answerer in (asked, free):
        answerer.answer(QUESTIONS[:1], lambda _: None)
    assert lengths[0] > lengths[1]


def _without_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def _with_half_the_weights(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:5000])


def _with_a_renamed_weight(folder: Path) -> None:
    file = folder / "model.safetensors"
    tensors = load_file(file)
    tensors["elsewhere"] = tensors.pop("query")
    save_file(tensors, file, {"format": "pt"})


def _with_a_weight_of_another_shape(folder: Path) -> None:
    file = folder / "model.safetensors"
    save_file({**load_file(file), "query": torch.zeros(3, 5)}, file, {"format": "pt"})


def _without_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()


def _without_processor(folder: Path) -> None:
    (folder / "processing.json").unlink()


def _with_a_foreign_configuration(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "llama"}')


def _with_a_list_for_configuration(folder: Path) -> None:
    (folder / "config.json").write_text("[]")


def _with_half_a_configuration(folder: Path) -> None:
    (folder / "config.json").write_text("{")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_without_weights, "cannot be loaded .*no file named model"),
        (_with_half_the_weights, "cannot be loaded .*deserializing header"),
        (_with_a_renamed_weight, "cannot be loaded .*'query'.*elsewhere"),
        (_with_a_weight_of_another_shape, "cannot be loaded"),
        (_without_tokenizer, "cannot be loaded .*tokenizer"),
        (_without_processor, r"processing\.json"),
        (_with_a_foreign_configuration, "model_type is 'llama', expected 'pmc_cambrian'"),
        (_with_a_list_for_configuration, "model_type is None"),
        (_with_half_a_configuration, r"config\.json: not JSON"),
    ],
)
def test_a_damaged_folder_is_unusable_input(model, processor, tmp_path, damage, message):
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    damage(tmp_path)
    with pytest.raises(InputError, match=f"(?s){message}") as error:
        LocalAnswerer.load(tmp_path)
    assert str(tmp_path) in str(error.value)


def test_a_folder_without_model_says_what_is_expected(tmp_path: Path):
    with pytest.raises(InputError, match=r"config\.json"):
        LocalAnswerer.load(tmp_path)
