"""Prompts: versioned text files of this package, and how a task fills them.

Order of the retrieval prompt: paper.md 1.6 (system, guideline, instruction, clinical case, format,
target). What each source is asked for: paper.md 1.3. The wording is ours.
"""

from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from string import Template
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from semihvision.annotation.draft import ContextItem, Task
from semihvision.annotation.facts import facts
from semihvision.annotation.paths import human_texts
from semihvision.annotation.settings import AnnotationPath, AnnotationSettings
from semihvision.core.hashing import hash_value
from semihvision.core.record import Record

VERSION = "v1"


class AnnotatedQA(BaseModel):
    """One question with its answer, as the model returns it."""

    model_config = ConfigDict(extra="forbid")

    question: str
    answer: str
    answer_type: Literal["OPEN", "CLOSED"]
    image_numbers: list[int]


class Annotation(BaseModel):
    """The model's reply to an annotation prompt."""

    model_config = ConfigDict(extra="forbid")

    caption: str
    qa: list[AnnotatedQA]


class Prompt(NamedTuple):
    """System and user message."""

    system: str
    user: str


def render(task: Task, settings: AnnotationSettings) -> Prompt:
    """The prompt of a task.

    Material of the record and retrieved texts stand between ``<<<`` and ``>>>``; such marks inside
    the material are broken up, so that it cannot end its own quotation.
    """
    known = facts(task.record).lines()
    values = {
        "source_note": _source_note(task.record.source),
        "format": _text("format"),
        "title": f"A record of the source {task.record.source}.",
        "num_images": str(len(task.images)),
        "known": "\n".join(f"- {name}: {_quotable(value)}" for name, value in known) or "- nothing",
        "texts": _texts(task.record, settings),
        "guidelines": _context(task.context, "guideline", settings.context_chars),
        "cases": _context(task.context, "case", settings.context_chars),
    }
    return Prompt(_text("system"), Template(_text(task.path)).substitute(values))


def prompt_hash(path: AnnotationPath, source: str) -> str:
    """SHA-256 of all prompt texts that a path uses for a source, before they are filled."""
    return hash_value([_text("system"), _text(path), _text("format"), _source_note(source)])


@cache
def _text(name: str) -> str:
    found = files(__package__) / "prompts" / f"{name}.{VERSION}.txt"
    return found.read_text(encoding="utf-8").strip()


def _source_note(source: str) -> str:
    note = files(__package__) / "prompts" / f"source_{source}.{VERSION}.txt"
    return _text(f"source_{source}") if note.is_file() else _text("source_default")


def _texts(record: Record, settings: AnnotationSettings) -> str:
    wanted = human_texts(record, settings)
    histories = [text for text in record.current(record.texts) if text.kind == "history"]
    numbers = {image.image_id: i for i, image in enumerate(record.images, start=1)}
    quoted = []
    for text in [*histories, *wanted]:
        about = ", ".join(str(numbers[image_id]) for image_id in text.image_ids)
        heading = text.kind + (f" (image {about})" if about else "")
        quoted.append(f"{heading}: {_quote(text.text)}")
    return "\n".join(quoted) or "none"


def _context(items: Sequence[ContextItem], kind: str, longest: int) -> str:
    chosen = [item for item in items if item.kind == kind]
    if not chosen:
        return "none found"
    return "\n".join(_quote(_heading(item) + _shortened(item.text, longest)) for item in chosen)


def _heading(item: ContextItem) -> str:
    # The title of a case is its id, and a hospital's file names may name a patient.
    return f"{item.title}\n" if item.kind == "guideline" else ""


def _shortened(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[:longest] + " [...]"


def _quote(text: str) -> str:
    return f"<<<\n{_quotable(text)}\n>>>"


def _quotable(text: str) -> str:
    return text.strip().replace("<<<", "< < <").replace(">>>", "> > >")
