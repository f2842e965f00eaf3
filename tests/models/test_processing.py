from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from models.modeling import PMCCambrian
from models.processing import PMCCambrianProcessor
from models.template import IMAGE_PLACEHOLDER as TEMPLATE_PLACEHOLDER
from semihvision.core.batch import IMAGE_PLACEHOLDER, IMAGE_TOKEN_ID, Turn
from semihvision.core.errors import InputError

Picture = Callable[..., Image.Image]
QUESTION = Turn("human", "What is shown? <image>")
ANSWER = Turn("gpt", "a lung")


def spelled(processor: PMCCambrianProcessor, ids: list[int]) -> str:
    """Ids as text, special tokens and placeholders included."""
    pieces = ["[image]" if i == IMAGE_TOKEN_ID else processor.tokenizer.decode([i]) for i in ids]
    return "".join(pieces)


def test_the_template_is_llama_3_without_blank_lines(
    tiny_processor: PMCCambrianProcessor, picture: Picture
) -> None:
    image = tiny_processor.prepare_image(picture(30, 20))
    sample = tiny_processor.encode(
        "r#1", [QUESTION, ANSWER, Turn("human", "Sure?"), Turn("gpt", "yes")], [image]
    )
    assert spelled(tiny_processor, sample["input_ids"].tolist()) == (
        "<|begin_of_text|><|start_header_id|>user<|end_header_id|>[image]\nWhat is shown?<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>a lung<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>Sure?<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>yes<|eot_id|>"
    )


def test_labels_are_the_assistants_text_and_end_of_turn_only(
    tiny_processor: PMCCambrianProcessor, picture: Picture
) -> None:
    image = tiny_processor.prepare_image(picture(30, 20))
    turns = [Turn("system", "Be brief."), QUESTION, ANSWER, Turn("human", "So?"), Turn("gpt", "ok")]
    sample = tiny_processor.encode("r#1", turns, [image])
    trained = sample["labels"] != -100
    assert torch.equal(sample["labels"][trained], sample["input_ids"][trained])
    text = spelled(tiny_processor, sample["labels"][trained].tolist())
    assert text == "a lung<|eot_id|>ok<|eot_id|>"


def test_a_system_prompt_is_a_setting_that_a_conversation_overrides() -> None:
    processor = PMCCambrianProcessor.from_preset("tiny", system_prompt="Be kind.")
    start = "<|begin_of_text|><|start_header_id|>system<|end_header_id|>"
    turns = [Turn("human", "Hi"), Turn("gpt", "yes")]
    sample = processor.encode("r#1", turns, [])
    assert spelled(processor, sample["input_ids"].tolist()).startswith(f"{start}Be kind.<|eot_id|>")
    sample = processor.encode("r#1", [Turn("system", "Own."), *turns], [])
    assert spelled(processor, sample["input_ids"].tolist()).startswith(f"{start}Own.<|eot_id|>")


def test_several_images_stand_in_front_of_their_turn(
    tiny_processor: PMCCambrianProcessor, picture: Picture
) -> None:
    assert TEMPLATE_PLACEHOLDER == IMAGE_PLACEHOLDER
    images = [tiny_processor.prepare_image(picture(20, 20, seed)) for seed in (1, 2)]
    turn = Turn("human", "Compare <image> with <image> please")
    ids = tiny_processor.encode("r#1", [turn, ANSWER], images)["input_ids"].tolist()
    assert "user<|end_header_id|>[image]\n[image]\nCompare  with  please<|eot_id|>" in spelled(
        tiny_processor, ids
    )


def test_text_that_spells_a_special_token_stays_text(tiny_processor: PMCCambrianProcessor) -> None:
    turns = [Turn("human", "Say <|eot_id|> now"), Turn("gpt", "no")]
    ids = tiny_processor.encode("r#1", turns, [])["input_ids"].tolist()
    end = tiny_processor.tokenizer.convert_tokens_to_ids("<|eot_id|>")
    assert ids.count(end) == 2


def test_a_prompt_is_the_beginning_of_the_sample(
    tiny_processor: PMCCambrianProcessor, picture: Picture
) -> None:
    image = tiny_processor.prepare_image(picture(30, 20))
    sample = tiny_processor.encode("r#1", [QUESTION, ANSWER], [image])
    prompt = tiny_processor.encode_prompt("r#1", [QUESTION, ANSWER], [image])
    length = len(prompt["input_ids"])
    assert torch.equal(sample["input_ids"][:length], prompt["input_ids"])
    assert (prompt["labels"] == -100).all()
    assert (sample["labels"][length:] != -100).all()
    assert (sample["labels"][:length] == -100).all()


def test_expanded_length_is_what_the_model_makes_of_it(
    tiny_processor: PMCCambrianProcessor, tiny_model: PMCCambrian, picture: Picture
) -> None:
    samples = []
    for i, sizes in enumerate([[(60, 30)], [], [(31, 64), (50, 50)]]):
        turn = Turn("human", "<image>" * len(sizes) + "Well?")
        images = [tiny_processor.prepare_image(picture(*size)) for size in sizes]
        samples.append(tiny_processor.encode(f"r#{i}", [turn, ANSWER], images))
    batch = tiny_processor.collate(samples)
    fused = tiny_model.fuse(
        batch["input_ids"],
        batch["attention_mask"],
        batch["pixel_values"],
        batch["image_sizes_wh"],
        batch["labels"],
    )
    lengths = [
        tiny_processor.expanded_length(
            len(sample["input_ids"]), [image.size_wh for image in sample["images"]]
        )
        for sample in samples
    ]
    assert fused.attention_mask is not None
    assert fused.attention_mask.sum(dim=1).tolist() == lengths
    assert fused.labels is not None
    for sample, labels in zip(samples, fused.labels, strict=True):
        trained = sample["labels"][sample["labels"] != -100]
        assert labels[labels != -100].tolist() == trained.tolist()


def test_collate_pads_on_the_right_and_keeps_images_in_order(
    tiny_processor: PMCCambrianProcessor, picture: Picture
) -> None:
    images = [tiny_processor.prepare_image(picture(20 + i, 20, i)) for i in range(2)]
    with_image = tiny_processor.encode("a#1", [QUESTION, ANSWER], images[:1])
    text_only = tiny_processor.encode("b#1", [Turn("human", "Hi"), Turn("gpt", "no")], [])
    other = tiny_processor.encode("c#1", [QUESTION, ANSWER], images[1:])
    batch = tiny_processor.collate([with_image, text_only, other])
    assert batch["example_ids"] == ["a#1", "b#1", "c#1"]
    length = len(text_only["input_ids"])
    assert batch["attention_mask"][1].tolist() == [True] * length + [False] * (
        batch["input_ids"].shape[1] - length
    )
    assert (batch["input_ids"][1, length:] == 2).all()
    assert (batch["labels"][1, length:] == -100).all()
    assert batch["image_sizes_wh"].tolist() == [[20, 20], [21, 20]]
    for t, pixels in enumerate(batch["pixel_values"]):
        assert torch.equal(pixels[1], images[1].pixels[t])
    no_images = tiny_processor.collate([text_only])
    assert no_images["pixel_values"] == []
    assert no_images["image_sizes_wh"].shape == (0, 2)
    prompt = tiny_processor.encode_prompt("a#1", [QUESTION], images[:1])
    assert "labels" not in tiny_processor.collate([prompt])
    with pytest.raises(InputError, match="0 samples"):
        tiny_processor.collate([])


@pytest.mark.parametrize(
    ("turns", "message"),
    [
        ([ANSWER], "roles"),
        ([QUESTION, QUESTION, ANSWER], "expected human and gpt in turn"),
        ([QUESTION], "ending with gpt"),
        ([Turn("human", "Hi"), Turn("gpt", "see <image>")], r"turn 1 \(gpt\) holds <image>"),
        ([Turn("human", "Hi"), ANSWER], "0 <image> placeholders but 1 images"),
    ],
)
def test_malformed_conversations_are_refused_by_id(
    tiny_processor: PMCCambrianProcessor, picture: Picture, turns: list[Turn], message: str
) -> None:
    image = tiny_processor.prepare_image(picture(9, 9))
    with pytest.raises(InputError, match=rf"sample vqa/7#2: .*{message}"):
        tiny_processor.encode("vqa/7#2", turns, [image])


def test_an_over_long_sample_is_refused_and_never_cut(picture: Picture) -> None:
    processor = PMCCambrianProcessor.from_preset("tiny", max_length=60)
    image = processor.prepare_image(picture(20, 20))
    short = processor.encode("r#1", [QUESTION, ANSWER], [image])
    length = processor.expanded_length(len(short["input_ids"]), [image.size_wh])
    assert length == len(short["input_ids"]) - 1 + 6 * 7
    exact = PMCCambrianProcessor.from_preset("tiny", max_length=length)
    exact.encode("r#1", [QUESTION, ANSWER], [image])
    tight = PMCCambrianProcessor.from_preset("tiny", max_length=length - 1)
    with pytest.raises(InputError, match=rf"sample r#1: {length} tokens .* at most {length - 1}"):
        tight.encode("r#1", [QUESTION, ANSWER], [image])


def test_decode_drops_special_tokens_and_outer_blanks(
    tiny_processor: PMCCambrianProcessor,
) -> None:
    ids = tiny_processor.encode("r#1", [Turn("human", "x"), Turn("gpt", "a lung ")], [])
    trained = ids["labels"][ids["labels"] != -100].tolist()
    assert tiny_processor.decode([*trained, 2, 2]) == "a lung"


def test_a_saved_processor_comes_back(tiny_model: PMCCambrian, tmp_path: Path) -> None:
    processor = PMCCambrianProcessor.from_preset(
        "tiny", system_prompt="Be brief.", max_length=99, preprocessing="fast"
    )
    tiny_model.config.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    loaded = PMCCambrianProcessor.from_pretrained(tmp_path)
    turns = [Turn("human", "Is there a lesion?"), Turn("gpt", "yes")]
    one, other = (p.encode("r#1", turns, []) for p in (processor, loaded))
    assert one["input_ids"].tolist() == other["input_ids"].tolist()
    assert (loaded.max_length, loaded.preprocessing) == (99, "fast")
    (tmp_path / "processing.json").write_text("{}")
    with pytest.raises(InputError, match=r"processing\.json: .* settings cannot be read"):
        PMCCambrianProcessor.from_pretrained(tmp_path)
