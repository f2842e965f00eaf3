"""Prompts as text files with a version in the name; their hash goes into every run."""

from importlib.resources import files
from typing import NamedTuple

from semihvision.core.hashing import hash_text

VERSION = "v1"


class Prompt(NamedTuple):
    """A prompt template.

    Attributes:
        name: File name without ending, e.g. ``judge_evidence.v1``.
        text: Its text; ``{field}`` marks what `fill` puts in.
    """

    name: str
    text: str

    @property
    def sha256(self) -> str:
        """Hash of the text."""
        return hash_text(self.text)

    def fill(self, **fields: str) -> str:
        """The text with its fields filled in; braces inside the values are left alone."""
        return self.text.format(**fields)


def load_prompt(name: str) -> Prompt:
    """The current version of a prompt of this package."""
    file_name = f"{name}.{VERSION}"
    text = (files(__package__) / f"{file_name}.txt").read_text(encoding="utf-8").strip()
    return Prompt(file_name, text)
