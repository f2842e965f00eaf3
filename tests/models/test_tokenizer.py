import logging
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from models.presets import preset
from models.processing import PMCCambrianProcessor
from models.tokenizer import (
    BEGIN_OF_TEXT,
    END_OF_TEXT,
    END_OF_TURN,
    PAD,
    ROLES,
    SPECIAL_TOKENS,
    TINY_SPECIAL_IDS,
    TINY_VOCABULARY_SIZE,
    TOKENIZER_FILE,
    load_tokenizer,
    tokenizer_hash,
    train_tiny_tokenizer,
)
from semihvision.core.errors import InputError


def test_training_again_gives_the_shipped_file() -> None:
    shipped = Tokenizer.from_file(str(TOKENIZER_FILE))
    assert train_tiny_tokenizer().to_str() == shipped.to_str()


def test_size_and_special_ids_are_those_the_preset_names() -> None:
    tokenizer = load_tokenizer("tiny")
    assert len(tokenizer) == TINY_VOCABULARY_SIZE
    assert tokenizer.convert_tokens_to_ids(list(SPECIAL_TOKENS)) == list(range(10))
    assert {
        "bos_token_id": tokenizer.convert_tokens_to_ids(BEGIN_OF_TEXT),
        "eos_token_id": tokenizer.convert_tokens_to_ids([END_OF_TEXT, END_OF_TURN]),
        "pad_token_id": tokenizer.convert_tokens_to_ids(PAD),
    } == TINY_SPECIAL_IDS


@given(text=st.text(max_size=60))
def test_any_text_survives(tiny_processor: PMCCambrianProcessor, text: str) -> None:
    tokenizer = tiny_processor.tokenizer
    ids = tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    assert tokenizer.decode(ids) == text
    assert not set(ids) & set(range(10))


def test_common_words_are_short(tiny_processor: PMCCambrianProcessor) -> None:
    def length(text: str) -> int:
        return len(tiny_processor.tokenizer(text, add_special_tokens=False)["input_ids"])

    assert all(length(role) == 1 for role in ROLES)
    assert length("yes") == length("no") == length("left") == length("right") == 1
    assert length("Is there a lesion in the left lung?") <= 12


def test_a_tokenizer_without_the_special_tokens_is_refused(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("plain")
    plain = Tokenizer(models.WordLevel({"a": 0, "b": 1}, unk_token="b"))
    plain.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=plain).save_pretrained(folder)
    with pytest.raises(ValueError, match=r"lacks <\|begin_of_text\|>"):
        load_tokenizer(str(folder))


def test_a_saved_one_loads_quietly_and_has_the_same_hash(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    preset("tiny").save_pretrained(tmp_path)
    shipped = load_tokenizer("tiny")
    shipped.save_pretrained(tmp_path)
    library = logging.getLogger("transformers")
    library.addHandler(caplog.handler)
    try:
        loaded = load_tokenizer(str(tmp_path))
    finally:
        library.removeHandler(caplog.handler)
    assert caplog.messages == []
    assert tokenizer_hash(loaded) == tokenizer_hash(shipped)
    assert loaded.special_tokens_map == shipped.special_tokens_map
    assert loaded("a lesion", truncation=True, max_length=2)["input_ids"]
    assert tokenizer_hash(loaded) == tokenizer_hash(shipped)
    loaded.add_tokens(["zzz"])
    assert tokenizer_hash(loaded) != tokenizer_hash(shipped)


def test_an_unusable_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no tokenizer\.json"):
        load_tokenizer(str(tmp_path))
    (tmp_path / "tokenizer.json").write_text("{}", encoding="utf-8")
    with pytest.raises(InputError, match=r"tokenizer\.json: the tokenizer cannot be loaded"):
        load_tokenizer(str(tmp_path))
