"""The prompt that an official Cambrian-1 checkpoint was trained with, known by hash and position.

The official system text is not shipped. A checkpoint asked under another text, template or
tokenizer answers without an error and worse, so a model folder made from an official checkpoint
says so in its settings, and whoever uses it is checked: the text by its SHA-256, the whole prompt
by the index at which the first image stands, the official configuration's ``image_position``.

Our own configuration has no such field: our samplers find images by their tokens, so the position
is a fact about a prompt and stands with the prompt's settings.

Source: cambrian.md sections 11 and 12.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from semihvision.core.errors import InputError
from semihvision.core.reasons import in_words

from .template import ConversationTemplate

OFFICIAL_SYSTEM_SHA256 = "a63d7693aaa6fb85b9f24405a244fd99a0c0610345cd9111e5cb88132b20971a"
"""SHA-256 of the official system text in UTF-8: three lines, 425 characters."""

_OVERRIDE = (
    "give the official text as a file (`system_prompt_file`, `--system-prompt FILE`), or say that "
    "another prompt is meant (`other_prompt: true`, `--other-prompt`)"
)


@dataclass(frozen=True, kw_only=True)
class OfficialPrompt:
    """What is known of an official checkpoint's prompt.

    Attributes:
        image_position: Index of the first image's placeholder: 91 for the 8B.
        system_sha256: Hash of the system text.
    """

    image_position: int = 91
    system_sha256: str = OFFICIAL_SYSTEM_SHA256

    def check(self, template: ConversationTemplate) -> None:
        """Refuses a template that begins a conversation in another way.

        Args:
            template: Template with its system text and tokenizer.

        Raises:
            InputError: Another system text, or the first image would stand elsewhere.
        """
        text = template.system_prompt
        found = hashlib.sha256(text.encode()).hexdigest()
        if found != self.system_sha256:
            shown = f"has {len(text)} characters and SHA-256 {found}" if text else "is empty"
            raise InputError(
                "these weights come from an official Cambrian-1 checkpoint, and the system prompt "
                f"{shown}; expected the official text, SHA-256 {self.system_sha256}: {_OVERRIDE}"
            )
        self.check_position(template.num_tokens_before_user(), template.style)

    def check_position(self, position: int, style: str) -> None:
        """Refuses a prompt whose first image stands elsewhere.

        Args:
            position: Index of the first image's placeholder in a prompt.
            style: Style of the template, for the message.

        Raises:
            InputError: It is not the official one.
        """
        if position != self.image_position:
            raise InputError(
                "these weights come from an official Cambrian-1 checkpoint, and the first image "
                f"stands at token {position} (template {style!r}); expected image_position "
                f"{self.image_position}: another tokenizer, template or system turn? Use those of "
                "the checkpoint, or say that another prompt is meant (`other_prompt: true`, "
                "`--other-prompt`)"
            )


def read_system_prompt(path: str | Path) -> str:
    """A system text from a file; one line break at the very end is the editor's and dropped.

    Args:
        path: UTF-8 text file.

    Raises:
        InputError: No such file, not UTF-8, or nothing in it.
    """
    try:
        # Read as bytes: universal newlines would change the text, and with it its hash.
        text = Path(path).read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path}: the system prompt cannot be read ({in_words(error)}); expected a UTF-8 "
            "text file"
        ) from None
    text = text.removesuffix("\n").removesuffix("\r")
    if not text.strip():
        raise InputError(f"{path}: the file is empty; expected a system prompt")
    return text
