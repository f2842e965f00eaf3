"""What goes into a producer and what comes out of it."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from pydantic import BaseModel, ConfigDict

from semihvision.annotation.settings import AnnotationPath
from semihvision.core.record import ImageRef, Record


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ContextItem(_Frozen):
    """One retrieved item that was given to a producer; context, never a finding.

    Attributes:
        sources: Sources whose terms bind its text; empty only for text of this project.
    """

    ref: str
    kind: Literal["case", "guideline"]
    sources: tuple[str, ...]
    score: float
    title: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Task:
    """One record to annotate.

    Attributes:
        key: Identifies the work: owner's data, path, prompt, producer, model, options.
        record: The record.
        path: How it is annotated.
        images: The images that are shown, in the record's order.
        root: Folder of the record's source; None where no pixels are needed.
        context: What was retrieved.
        withheld: Sources of retrieved items that the policy keeps from this producer.
    """

    key: str
    record: Record
    path: AnnotationPath
    images: tuple[ImageRef, ...]
    root: Path | None = None
    context: tuple[ContextItem, ...] = ()
    withheld: tuple[str, ...] = ()


class DraftQA(_Frozen):
    """A question and answer before any gate; `answer_type` is ``OPEN`` or ``CLOSED``."""

    question: str
    answer: str
    answer_type: str = "OPEN"
    image_ids: tuple[str, ...] = ()


class Draft(_Frozen):
    """What a producer made of one task, or why it could not; stored as it is.

    Attributes:
        key: Key of the task.
        record_id: Record of the task.
        path: Path of the task.
        producer: Kind of producer.
        model: Template version, or the snapshot that the server reported.
        prompt_hash: SHA-256 of the prompt or template texts.
        caption: Description of the images; empty where the producer gave none.
        caption_image_ids: The images that the caption is about.
        language: Language of the caption.
        qa: Questions and answers.
        image_ids: The images that were shown.
        context: Retrieved items that were given along.
        withheld: Sources of retrieved items that were not.
        tokens_in: Prompt tokens.
        tokens_out: Completion tokens.
        cost_usd: Cost in US dollars; None where no price is known.
        created_at: ISO 8601 time in UTC.
        failure: Kind of failure; empty if fine.
        reason: One sentence about the failure, without any content.
    """

    key: str
    record_id: str
    path: AnnotationPath
    producer: Literal["template", "model"]
    model: str
    prompt_hash: str
    caption: str = ""
    caption_image_ids: tuple[str, ...] = ()
    language: str = "en"
    qa: tuple[DraftQA, ...] = ()
    image_ids: tuple[str, ...] = ()
    context: tuple[ContextItem, ...] = ()
    withheld: tuple[str, ...] = ()
    tokens_in: int = 0
    tokens_out: int = 0
    cost_usd: float | None = None
    created_at: str = ""
    failure: str = ""
    reason: str = ""


class Producer(Protocol):
    """Writes captions, questions and answers.

    Attributes:
        kind: What its output is labelled as, everywhere.
        model: Model or template name as configured; part of the key of stored work.
        needs_pixels: Whether it looks at the images.
        needs_context: Whether the path ``retrieve`` is impossible without retrieved items.
    """

    kind: Literal["template", "model"]
    model: str
    needs_pixels: bool
    needs_context: bool

    def prompt_hash(self, path: AnnotationPath, source: str) -> str:
        """SHA-256 of everything in the prompt that does not come from the record."""
        ...

    def options(self) -> str:
        """Further settings that change the output, as one line; part of the key."""
        ...

    def may_use(self, source: str, own: Sequence[str] = ()) -> bool:
        """Whether data of a source may be given to this producer.

        Args:
            source: Its name.
            own: Conditions of a record's own licence, if one of that source is meant.
        """
        ...

    def produce(self, tasks: Iterable[Task], on_draft: Callable[[Draft], None]) -> None:
        """Works through tasks, lazily, and hands over each draft as it is ready."""
        ...
