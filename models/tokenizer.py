"""The tokenizers: a small byte-level BPE that ships with the project, or one from a hub.

The shipped one has Llama-3's special tokens and is trained on ``assets/corpus.txt``, text written
for this project. Being byte-level it encodes any text. `train_tiny_tokenizer` makes it anew, byte
for byte.
"""

import hashlib
import json
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from semihvision.core.errors import InputError

BEGIN_OF_TEXT = "<|begin_of_text|>"
END_OF_TEXT = "<|end_of_text|>"
PAD = "<|reserved_special_token_0|>"
START_HEADER = "<|start_header_id|>"
END_HEADER = "<|end_header_id|>"
END_OF_TURN = "<|eot_id|>"

SPECIAL_TOKENS = (
    BEGIN_OF_TEXT,
    END_OF_TEXT,
    PAD,
    "<|reserved_special_token_1|>",
    "<|reserved_special_token_2|>",
    "<|reserved_special_token_3|>",
    START_HEADER,
    END_HEADER,
    "<|reserved_special_token_4|>",
    END_OF_TURN,
)
"""Llama-3's special tokens in Llama-3's order; the shipped tokenizer gives them ids 0 to 9."""

ROLES = ("system", "user", "assistant")
"""The roles as Llama-3's headers name them."""

TINY_VOCABULARY_SIZE = 1280
TINY_SPECIAL_IDS = {"bos_token_id": 0, "eos_token_id": [1, 9], "pad_token_id": 2}
"""Ids of begin of text, of what ends an answer (end of text, end of turn), and of padding."""

_ASSETS = Path(__file__).parent / "assets"
CORPUS_FILE = _ASSETS / "corpus.txt"
TOKENIZER_FILE = _ASSETS / "tokenizer.json"


def train_tiny_tokenizer() -> Tokenizer:
    """Trains the shipped tokenizer from the shipped text; the result is always the same."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=TINY_VOCABULARY_SIZE,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    lines = CORPUS_FILE.read_text(encoding="utf-8").splitlines()
    # The roles of the template stand in every prompt, so each should be one token.
    tokenizer.train_from_iterator([*lines, *(ROLES * 100)], trainer)
    return tokenizer


def load_tokenizer(name: str) -> PreTrainedTokenizerBase:
    """Loads a tokenizer with Llama-3's special tokens.

    Args:
        name: ``tiny`` for the shipped one, else a hub name or a local folder.

    Raises:
        InputError: A folder without a usable ``tokenizer.json``.
        ValueError: The tokenizer lacks a special token that the chat template needs.
    """
    if name == "tiny":
        tokenizer: PreTrainedTokenizerBase = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
            tokenizer_file=str(TOKENIZER_FILE),
            bos_token=BEGIN_OF_TEXT,
            eos_token=END_OF_TURN,
            pad_token=PAD,
            clean_up_tokenization_spaces=False,
        )
    elif Path(name).is_dir():
        tokenizer = _load_folder(Path(name))
    else:
        tokenizer = AutoTokenizer.from_pretrained(name)
    vocabulary = tokenizer.get_vocab()
    needed = (BEGIN_OF_TEXT, PAD, START_HEADER, END_HEADER, END_OF_TURN)
    missing = [token for token in needed if token not in vocabulary]
    if missing:
        raise ValueError(
            f"tokenizer {name!r} lacks {', '.join(missing)}; expected one with Llama-3's special "
            "tokens"
        )
    return tokenizer


def _load_folder(folder: Path) -> PreTrainedTokenizerBase:
    """The fast class at once: the automatic one would first ask the model's configuration."""
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise InputError(
            f"{folder}: the tokenizer cannot be loaded (no tokenizer.json); expected the folder of "
            "a fast tokenizer"
        )
    try:
        tokenizer: PreTrainedTokenizerBase = PreTrainedTokenizerFast.from_pretrained(folder)
    except Exception as error:  # the tokenizers library raises nothing more special
        raise InputError(f"{path}: the tokenizer cannot be loaded ({error})") from error
    return tokenizer


def tokenizer_hash(tokenizer: PreTrainedTokenizerBase) -> str:
    """SHA-256 of what decides ids: vocabulary, merges, special tokens and text rules.

    Args:
        tokenizer: A fast tokenizer.

    Raises:
        ValueError: It is no fast tokenizer.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise ValueError(f"{type(tokenizer).__name__} is no fast tokenizer; expected one")
    rules = json.loads(backend.to_str())
    # Settings of the last call, not of the tokenizer.
    for name in ("truncation", "padding"):
        rules.pop(name)
    named = {name: str(token) for name, token in tokenizer.special_tokens_map.items()}
    text = json.dumps([rules, named], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
