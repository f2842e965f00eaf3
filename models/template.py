"""The Llama-3 conversation template: turns to token ids and labels, once for all purposes.

Two styles, ``cambrian`` (the official code's, the default) and ``meta`` (Meta's own):

- both: ``<|begin_of_text|>``, then for each turn header, text, ``<|eot_id|>``, nothing between;
- ``meta`` writes a blank line after every header and strips the text, ``cambrian`` does neither.

Images stand in front of their turn's text, each followed by a line break. Labels are the text of
assistant turns and their end-of-turn token; headers are not trained.

Source: cambrian.md section 11 (``conv_llama_3``, ``preprocess_llama_3``); meta-llama/llama3,
``ChatFormat``, for the second style. Deviations: several images per turn are allowed; text that
spells a special token stays text; the pieces between special tokens are encoded one by one, which
gives the ids of the whole string because special tokens cut it there anyway (and Meta's code
encodes the blank line by itself too).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, get_args

from transformers import PreTrainedTokenizerBase

from .tokenizer import BEGIN_OF_TEXT, END_HEADER, END_OF_TURN, START_HEADER

IMAGE_PLACEHOLDER = "<image>"
_ROLE_NAMES = {"system": "system", "human": "user", "gpt": "assistant"}

TemplateStyle = Literal["cambrian", "meta"]

_AFTER_HEADER: dict[TemplateStyle, str] = {"cambrian": "", "meta": "\n\n"}


class SpokenTurn(NamedTuple):
    """One turn with its images apart from its text, which is never searched for placeholders."""

    role: str
    text: str
    num_images: int = 0


@dataclass
class EncodedTurns:
    """Token ids with one label each, built piece by piece."""

    input_ids: list[int] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)

    def add(self, ids: Sequence[int], *, ignore_index: int | None) -> None:
        """Appends ids; their labels are themselves, or ``ignore_index``."""
        self.input_ids.extend(ids)
        self.labels.extend(ids if ignore_index is None else [ignore_index] * len(ids))


class ConversationTemplate:
    """Encodes conversations.

    Args:
        tokenizer: A tokenizer with Llama-3's special tokens.
        system_prompt: System text for conversations that bring none; empty for no system turn.
        style: ``cambrian`` or ``meta``.
        image_token_id: Id of one image placeholder.
        ignore_index: Label of tokens that are not trained.

    Raises:
        ValueError: There is no such style.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        *,
        system_prompt: str,
        style: TemplateStyle = "cambrian",
        image_token_id: int,
        ignore_index: int,
    ) -> None:
        if style not in _AFTER_HEADER:
            raise ValueError(
                f"template is {style!r}; expected one of {', '.join(get_args(TemplateStyle))}"
            )
        self.tokenizer = tokenizer
        self.system_prompt = system_prompt
        self.style: TemplateStyle = style
        self.image_token_id = image_token_id
        self.ignore_index = ignore_index
        vocabulary = tokenizer.get_vocab()
        self._ids = {
            token: vocabulary[token]
            for token in (BEGIN_OF_TEXT, START_HEADER, END_HEADER, END_OF_TURN)
        }

    def encode(self, turns: Sequence[SpokenTurn], *, add_generation_prompt: bool) -> EncodedTurns:
        """Encodes a conversation.

        Args:
            turns: Optionally a system turn, then human and gpt turns in turn.
            add_generation_prompt: End with the assistant's header, after a human turn.

        Raises:
            ValueError: A role is unknown or out of order, or a turn is empty.
        """
        check_turns(turns, ends_with="human" if add_generation_prompt else "gpt")
        encoded = EncodedTurns()
        encoded.add([self._ids[BEGIN_OF_TEXT]], ignore_index=self.ignore_index)
        if self.system_prompt and turns[0].role != "system":
            turns = [SpokenTurn("system", self.system_prompt), *turns]
        for turn in turns:
            encoded.add(self._header(turn.role), ignore_index=self.ignore_index)
            encoded.add(
                [*self._body(turn), self._ids[END_OF_TURN]],
                ignore_index=None if turn.role == "gpt" else self.ignore_index,
            )
        if add_generation_prompt:
            encoded.add(self._header("gpt"), ignore_index=self.ignore_index)
        return encoded

    def num_tokens_before_user(self) -> int:
        """Tokens before the first user text of a conversation that brings no system turn."""
        turns = [SpokenTurn("human", "", num_images=1)]
        ids = self.encode(turns, add_generation_prompt=True).input_ids
        return ids.index(self.image_token_id)

    def _header(self, role: str) -> list[int]:
        name = self._chunk(_ROLE_NAMES[role])
        rest = self._chunk(_AFTER_HEADER[self.style])
        return [self._ids[START_HEADER], *name, self._ids[END_HEADER], *rest]

    def _body(self, turn: SpokenTurn) -> list[int]:
        """Ids of a turn's images and text."""
        text = turn.text.strip() if self.style == "meta" else turn.text
        if not turn.num_images:
            return self._chunk(text)
        between = [self.image_token_id, *self._chunk("\n")] * (turn.num_images - 1)
        return [*between, self.image_token_id, *self._chunk(f"\n{text}")]

    def _chunk(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer(text, add_special_tokens=False, split_special_tokens=True)[
            "input_ids"
        ]
        return ids


def spoken_turns(turns: Sequence[tuple[str, str]]) -> list[SpokenTurn]:
    """Takes the image placeholders out of the text of records.

    Args:
        turns: Pairs of role and text with one ``<image>`` per image.

    Returns:
        The same turns; text that held a placeholder is stripped.

    Raises:
        ValueError: A placeholder stands outside a human turn.
    """
    spoken = []
    for i, (role, text) in enumerate(turns):
        num_images = text.count(IMAGE_PLACEHOLDER)
        if num_images and role != "human":
            raise ValueError(
                f"turn {i} ({role}) holds {IMAGE_PLACEHOLDER}; expected it in human turns only"
            )
        rest = text.replace(IMAGE_PLACEHOLDER, "").strip() if num_images else text
        spoken.append(SpokenTurn(role, rest, num_images))
    return spoken


def check_turns(turns: Sequence[SpokenTurn], *, ends_with: str) -> None:
    """Checks the order of roles, and that every turn says something.

    Args:
        turns: The conversation.
        ends_with: Role of the last turn.

    Raises:
        ValueError: Says which turn is wrong; never quotes its text.
    """
    unknown = [i for i, turn in enumerate(turns) if turn.role not in _ROLE_NAMES]
    if unknown:
        raise ValueError(
            f"turns {unknown} have unknown roles; expected {', '.join(_ROLE_NAMES)} only"
        )
    roles = [turn.role for turn in turns]
    spoken = roles[1:] if roles[:1] == ["system"] else roles
    expected = [("human", "gpt")[i % 2] for i in range(len(spoken))]
    if not spoken or spoken != expected or spoken[-1] != ends_with:
        raise ValueError(
            f"turns have the roles {roles}; expected human and gpt in turn after an optional "
            f"system turn, ending with {ends_with}"
        )
    # An empty answer is a fact in a prompt; trained on, it would teach silence.
    may_be_empty = "gpt" if ends_with == "human" else ""
    empty = [
        i
        for i, turn in enumerate(turns)
        if not turn.text.strip() and not turn.num_images and turn.role != may_be_empty
    ]
    if empty:
        raise ValueError(f"turns {empty} are empty; expected text, or an image in a human turn")
