"""The conversation template, and where each trap of the official code is tested.

Traps of cambrian.md section 9 (samplers inside the decoder):

- `forward` without a `generate` before it skips the samplers: `test_an_image_matters_at_the_grid_
  and_inside_the_decoder` (test_modeling), `semihvision convert verify` on logits and loss.
- A `forward` after a `generate` reads the image before: `test_generation_leaves_nothing_behind`.
- Samplers in decode steps: `test_samplers_run_in_the_prefill_and_not_in_decode_steps`
  (test_generation).

Traps of section 16:

- The conversation's style falls back to another one: `test_the_style_is_a_setting_and_travels`,
  `test_an_unknown_style_is_refused`.
- Two tokenising functions, and tokenizers that add a beginning on every call:
  `test_a_tokenizer_that_adds_tokens_by_itself_changes_nothing`, `test_a_prompt_is_the_beginning_of_
  the_sample` (test_processing).
- Unreadable or fully masked samples replaced by sample 0: `test_samples_that_cannot_be_used_are_
  refused_before_training_begins`, `test_an_image_that_cannot_be_decoded_is_an_error_that_names_it`
  (tests/data_modules/test_base).
- Masks of the image grid used for the query grid: `test_windows_are_those_of_the_naive_loops`,
  `test_query_groups_of_another_side_are_resized_and_concatenated` (test_connector).
- Several images, of which the samplers know one: `test_a_batch_equals_its_rows_one_by_one`
  (test_modeling), `test_neither_cache_nor_batch_nor_padding_changes_a_greedy_answer`.
- A row of text overwritten by the samplers: `test_a_text_row_is_the_plain_language_model`
  (test_modeling), `test_text_alone_is_generated_as_the_decoder_does_by_itself` (test_generation).
- Cutting inside an image: test_fitting.
- A wrong `image_position` runs without an error: test_official_prompt.
- Packing takes one image position a row: tests/models/test_packing.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

from models.modeling import PMCCambrian
from models.presets import preset
from models.processing import PMCCambrianProcessor
from models.template import ConversationTemplate, SpokenTurn, spoken_turns
from models.tokenizer import CORPUS_FILE, SPECIAL_TOKENS, TOKENIZER_FILE
from semihvision.core.batch import Turn
from semihvision.core.errors import InputError

IMAGE = -200
TURNS = [SpokenTurn("human", "Which side?"), SpokenTurn("gpt", "left")]

LLAMA_3_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""How Llama-3's tokenizer cuts text into words (its tokenizer.json)."""

META_CHAT_TEMPLATE = (
    "{% for message in messages %}{% set content = '<|start_header_id|>' + message['role'] + "
    "'<|end_header_id|>\n\n' + message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}"
    "{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}"
    "{% endif %}"
)
"""The chat template that Meta publishes with Llama-3-8B-Instruct."""


def encoder(tokenizer: Any, **settings: Any) -> ConversationTemplate:
    settings = {"system_prompt": "", "image_token_id": IMAGE, "ignore_index": -100} | settings
    return ConversationTemplate(tokenizer, **settings)


@pytest.fixture(scope="module")
def llama_3_like() -> PreTrainedTokenizerFast:
    """A small tokenizer that cuts words as Llama-3's does, with the published template."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(LLAMA_3_WORDS), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=[AddedToken(token, special=True) for token in SPECIAL_TOKENS],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    lines = CORPUS_FILE.read_text(encoding="utf-8").splitlines()
    tokenizer.train_from_iterator([*lines[:300], *["a\n\nb\n"] * 50], trainer)
    made = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=SPECIAL_TOKENS[0], eos_token=SPECIAL_TOKENS[9]
    )
    made.chat_template = META_CHAT_TEMPLATE
    return made


TEXT = st.text(st.sampled_from("ab 1.'\n\r\té<|"), max_size=12).filter(str.strip)


@given(questions=st.lists(TEXT, min_size=1, max_size=3), answer=TEXT, system=st.none() | TEXT)
def test_the_meta_style_gives_the_ids_of_metas_own_template(
    llama_3_like: PreTrainedTokenizerFast, questions: list[str], answer: str, system: str | None
) -> None:
    names = {"system": "system", "human": "user", "gpt": "assistant"}
    turns = [] if system is None else [SpokenTurn("system", system)]
    for question in questions:
        turns += [SpokenTurn("human", question), SpokenTurn("gpt", answer)]
    template = encoder(llama_3_like, style="meta")
    for count, prompt in ((len(turns), False), (len(turns) - 1, True)):
        messages = [{"role": names[t.role], "content": t.text} for t in turns[:count]]
        theirs = llama_3_like.apply_chat_template(
            messages, add_generation_prompt=prompt, return_dict=False
        )
        ours = template.encode(turns[:count], add_generation_prompt=prompt).input_ids
        assert ours == theirs


@given(text=TEXT, answer=TEXT)
def test_the_cambrian_style_gives_the_ids_of_the_whole_string(
    llama_3_like: PreTrainedTokenizerFast, text: str, answer: str
) -> None:
    whole = (
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|> Be brief.\n<|eot_id|>"
        f"<|start_header_id|>user<|end_header_id|>{text}<|eot_id|>"
        f"<|start_header_id|>assistant<|end_header_id|>{answer}<|eot_id|>"
    )
    template = encoder(llama_3_like, system_prompt=" Be brief.\n")
    turns = [SpokenTurn("human", text), SpokenTurn("gpt", answer)]
    ours = template.encode(turns, add_generation_prompt=False).input_ids
    assert ours == llama_3_like(whole, add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize("style", ["cambrian", "meta"])
def test_headers_are_not_trained_and_the_end_of_turn_is(
    tiny_processor: PMCCambrianProcessor, style: str
) -> None:
    tokenizer = tiny_processor.tokenizer
    template = encoder(tokenizer, style=style)
    turns = [SpokenTurn("human", "Well?", 2), SpokenTurn("gpt", "left"), *TURNS]
    encoded = template.encode(turns, add_generation_prompt=False)
    trained = [label for label in encoded.labels if label != -100]
    assert tokenizer.decode(trained) == "left<|eot_id|>left<|eot_id|>"
    header = tokenizer.convert_tokens_to_ids(["<|start_header_id|>", "assistant"])
    for i, (token, label) in enumerate(zip(encoded.input_ids, encoded.labels, strict=True)):
        assert label in (-100, token)
        if encoded.input_ids[i : i + 2] == header:
            assert encoded.labels[i : i + 3] == [-100] * 3


def test_styles_differ_by_the_blank_line_alone(tiny_processor: PMCCambrianProcessor) -> None:
    tokenizer = tiny_processor.tokenizer

    def text(style: str) -> str:
        template = encoder(tokenizer, style=style, system_prompt="Be brief.")
        return tokenizer.decode(template.encode(TURNS, add_generation_prompt=False).input_ids)

    header = "<|end_header_id|>"
    assert text("cambrian") != text("meta") == text("cambrian").replace(header, header + "\n\n")


def test_the_tests_named_above_exist() -> None:
    names = re.findall(r"`(test_\w+)`", re.sub(r"_\n +", "_", __doc__ or ""))
    sources = [path.read_text() for path in Path(__file__).parents[1].rglob("test_*.py")]
    assert len(names) > 10
    assert [name for name in names if not any(f"def {name}(" in text for text in sources)] == []


def test_the_style_is_a_setting_and_travels(tmp_path: Path) -> None:
    preset("tiny").save_pretrained(tmp_path)
    made = PMCCambrianProcessor.from_preset("tiny", template="meta", system_prompt="Be kind.")
    made.save_pretrained(tmp_path)
    loaded = PMCCambrianProcessor.from_pretrained(tmp_path)
    turns = [Turn("human", "Hi"), Turn("gpt", "yes")]
    assert loaded.template.style == "meta"
    assert torch.equal(
        loaded.encode("r#1", turns, [])["input_ids"], made.encode("r#1", turns, [])["input_ids"]
    )
    other = PMCCambrianProcessor.from_pretrained(tmp_path, system_prompt="Be brief.")
    assert other.template.system_prompt == "Be brief."


def test_an_unknown_style_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="template is 'vicuna'; expected one of cambrian, meta"):
        PMCCambrianProcessor.from_preset("tiny", template="vicuna")
    preset("tiny").save_pretrained(tmp_path)
    made = PMCCambrianProcessor.from_preset("tiny")
    made.save_pretrained(tmp_path)
    settings = tmp_path / "processing.json"
    settings.write_text(settings.read_text().replace("cambrian", "llama_v3"))
    with pytest.raises(InputError, match="llama_v3"):
        PMCCambrianProcessor.from_pretrained(tmp_path)


def test_a_tokenizer_that_adds_tokens_by_itself_changes_nothing(
    tiny_processor: PMCCambrianProcessor,
) -> None:
    backend = Tokenizer.from_file(str(TOKENIZER_FILE))
    backend.post_processor = TemplateProcessing(
        single="<|begin_of_text|> $A", special_tokens=[("<|begin_of_text|>", 0)]
    )
    eager = PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<|begin_of_text|>")
    assert eager("x")["input_ids"][0] == 0
    turns = [SpokenTurn("human", "Which?", 2), SpokenTurn("gpt", "left")]
    ours = encoder(eager).encode(turns, add_generation_prompt=False)
    assert ours == encoder(tiny_processor.tokenizer).encode(turns, add_generation_prompt=False)
    assert ours.input_ids.count(0) == 1


@given(
    text=st.lists(st.sampled_from(["<image>", *SPECIAL_TOKENS, "a ", "\n"]), max_size=5)
    .map("".join)
    .filter(str.strip),
    num_images=st.integers(0, 2),
)
def test_text_never_becomes_a_special_token_or_an_image(
    tiny_processor: PMCCambrianProcessor, text: str, num_images: int
) -> None:
    tokenizer = tiny_processor.tokenizer
    turns = [SpokenTurn("human", text, num_images), SpokenTurn("gpt", text)]
    ids = encoder(tokenizer).encode(turns, add_generation_prompt=False).input_ids
    assert ids.count(IMAGE) == num_images
    special = set(range(len(SPECIAL_TOKENS)))
    # Begin of text, two headers of two, two ends of turn: the template's own.
    assert sum(i in special for i in ids) == 7
    assert tokenizer.decode([i for i in ids if i not in special | {IMAGE}]).count(text) == 2


def test_placeholders_of_records_become_images(tiny_processor: PMCCambrianProcessor) -> None:
    spoken = spoken_turns([("human", "See <image> and <image>."), ("gpt", " ok ")])
    assert spoken == [SpokenTurn("human", "See  and .", 2), SpokenTurn("gpt", " ok ", 0)]


@pytest.mark.parametrize(
    ("turns", "message"),
    [
        ([SpokenTurn("doctor: Ms Q.", "Hi"), TURNS[1]], r"turns \[0\] have unknown roles"),
        ([SpokenTurn("human", " \n"), TURNS[1]], r"turns \[0\] are empty"),
        ([TURNS[0], SpokenTurn("gpt", "")], r"turns \[1\] are empty"),
        ([SpokenTurn("system", ""), *TURNS], r"turns \[0\] are empty"),
        ([], r"roles \[\]"),
    ],
)
def test_unusable_turns_are_named_and_not_quoted(
    tiny_processor: PMCCambrianProcessor, turns: list[SpokenTurn], message: str
) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        encoder(tiny_processor.tokenizer).encode(turns, add_generation_prompt=False)
    assert "Ms Q." not in str(caught.value)


def test_an_empty_answer_may_stand_in_a_prompt(tiny_processor: PMCCambrianProcessor) -> None:
    turns = [TURNS[0], SpokenTurn("gpt", ""), TURNS[0]]
    encoder(tiny_processor.tokenizer).encode(turns, add_generation_prompt=True)


def test_generation_leaves_nothing_behind(
    small_model: Callable[..., PMCCambrian], features: Callable[[int], list[torch.Tensor]]
) -> None:
    model, towers = small_model(), features(2)
    ids, sizes = torch.tensor([[3, IMAGE, 4]]), torch.tensor([(40, 40)])
    one, other = ([tower[i : i + 1] for tower in towers] for i in range(2))
    with torch.no_grad():
        before = model(ids, image_sizes_wh=sizes, tower_features=one).logits
        model.generate(
            ids, image_sizes_wh=sizes, tower_features=other, max_new_tokens=2, do_sample=False
        )
        after = model(ids, image_sizes_wh=sizes, tower_features=one).logits
    assert torch.equal(before, after)
