"""The Llama-3 conversation template: turns to token ids and labels, once for all purposes.

Source: cambrian.md section 11 (``conv_llama_3``, ``preprocess_llama_3``): one string, no blank
line after a header, ``<image>`` moved to the front of its turn, labels on the text of assistant
turns and their end-of-turn token. Deviations: several images per turn are allowed; text that spells
a special token stays text; the pieces between special tokens are encoded one by one, which gives
the ids of the whole string because special tokens cut it there anyway.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from transformers import PreTrainedTokenizerBase

from .tokenizer import BEGIN_OF_TEXT, END_HEADER, END_OF_TURN, START_HEADER

IMAGE_PLACEHOLDER = "<image>"
_ROLE_NAMES = {"system": "system", "human": "user", "gpt": "assistant"}


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
        image_token_id: Id of one image placeholder.
        ignore_index: Label of tokens that are not trained.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        *,
        system_prompt: str,
        image_token_id: int,
        ignore_index: int,
    ) -> None:
        self.tokenizer = tokenizer
        self.system_prompt = system_prompt
        self.image_token_id = image_token_id
        self.ignore_index = ignore_index
        vocabulary = tokenizer.get_vocab()
        self._ids = {
            token: vocabulary[token]
            for token in (BEGIN_OF_TEXT, START_HEADER, END_HEADER, END_OF_TURN)
        }

    def encode(
        self, turns: Sequence[tuple[str, str]], *, add_generation_prompt: bool
    ) -> EncodedTurns:
        """Encodes a conversation.

        Args:
            turns: Pairs of role (``system``, ``human``, ``gpt``) and text, in order.
            add_generation_prompt: End with the assistant's header.

        Raises:
            ValueError: Roles are out of order, or a placeholder stands outside a human turn.
        """
        check_turns(turns, ends_with="human" if add_generation_prompt else "gpt")
        encoded = EncodedTurns()
        encoded.add([self._ids[BEGIN_OF_TEXT]], ignore_index=self.ignore_index)
        if self.system_prompt and turns[0][0] != "system":
            turns = [("system", self.system_prompt), *turns]
        for role, text in turns:
            encoded.add(self._header(role), ignore_index=self.ignore_index)
            trained = role == "gpt"
            encoded.add(
                [*self._text(text), self._ids[END_OF_TURN]],
                ignore_index=None if trained else self.ignore_index,
            )
        if add_generation_prompt:
            encoded.add(self._header("gpt"), ignore_index=self.ignore_index)
        return encoded

    def _header(self, role: str) -> list[int]:
        name = self._chunk(_ROLE_NAMES[role])
        return [self._ids[START_HEADER], *name, self._ids[END_HEADER]]

    def _text(self, text: str) -> list[int]:
        """Ids of a turn's text, its image placeholders first."""
        num_images = text.count(IMAGE_PLACEHOLDER)
        if not num_images:
            return self._chunk(text)
        rest = text.replace(IMAGE_PLACEHOLDER, "").strip()
        between = [self.image_token_id, *self._chunk("\n")] * (num_images - 1)
        return [*between, self.image_token_id, *self._chunk(f"\n{rest}")]

    def _chunk(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer(text, add_special_tokens=False, split_special_tokens=True)[
            "input_ids"
        ]
        return ids


def check_turns(turns: Sequence[tuple[str, str]], *, ends_with: str) -> None:
    """Checks the order of roles and the place of image placeholders.

    Args:
        turns: Pairs of role and text.
        ends_with: Role of the last turn.

    Raises:
        ValueError: Says which turn is wrong; never quotes its text.
    """
    roles = [role for role, _ in turns]
    spoken = roles[1:] if roles[:1] == ["system"] else roles
    expected = [("human", "gpt")[i % 2] for i in range(len(spoken))]
    if not spoken or spoken != expected or spoken[-1] != ends_with:
        raise ValueError(
            f"turns have the roles {roles}; expected human and gpt in turn after an optional "
            f"system turn, ending with {ends_with}"
        )
    for i, (role, text) in enumerate(turns):
        if role != "human" and IMAGE_PLACEHOLDER in text:
            raise ValueError(
                f"turn {i} ({role}) holds {IMAGE_PLACEHOLDER}; expected it in human turns only"
            )
