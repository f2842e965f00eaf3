"""The producer that asks a language model through an OpenAI-compatible endpoint."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Literal

from PIL import Image

from semihvision.annotation.draft import Draft, DraftQA, Task
from semihvision.annotation.prompts import Annotation, prompt_hash, render
from semihvision.annotation.settings import AnnotationPath, AnnotationSettings
from semihvision.core.errors import InputError, PolicyError
from semihvision.core.images import read_image
from semihvision.core.lineage import sources_of
from semihvision.llm.client import LLMClient, LLMReply, LLMRequest


class ModelProducer:
    """Captions and questions by a language model that sees the images.

    Args:
        client: Endpoint, model, limits, permissions.
        settings: Image size, length of context.
    """

    kind: Literal["template", "model"] = "model"
    needs_pixels = True
    needs_context = True

    def __init__(self, client: LLMClient, settings: AnnotationSettings | None = None) -> None:
        self._client = client
        self._settings = settings or AnnotationSettings()
        self.model = client.settings.model

    def prompt_hash(self, path: AnnotationPath, source: str) -> str:
        """SHA-256 of the prompt texts."""
        return prompt_hash(path, source)

    def options(self) -> str:
        """Everything else that changes what is asked."""
        llm, own = self._client.settings, self._settings
        values = (llm.temperature, llm.max_tokens, own.max_images, own.image_size_px)
        retrieval = (own.cases, own.guidelines, own.context_chars, own.human_text_kinds)
        return repr(values + retrieval)

    def may_use(self, source: str, own: Sequence[str] = ()) -> bool:
        """Whether the policy lets a source's data go to the endpoint."""
        try:
            self._client.require_may_send([source], own)
        except (PolicyError, InputError):
            return False
        return True

    def produce(self, tasks: Iterable[Task], on_draft: Callable[[Draft], None]) -> None:
        """Sends one request for each task; images are read only as they are needed."""
        waiting: dict[str, Task] = {}

        def requests() -> Iterator[LLMRequest]:
            for task in tasks:
                try:
                    request = self._request(task)
                except InputError as error:
                    on_draft(self._draft(task, failure=error.kind, reason=str(error)))
                    continue
                waiting[task.key] = task
                yield request

        def receive(reply: LLMReply) -> None:
            on_draft(self._received(waiting.pop(reply.request_id), reply))

        self._client.run(requests(), receive)

    def _request(self, task: Task) -> LLMRequest:
        retrieved = (source for item in task.context for source in item.sources)
        sources = tuple(dict.fromkeys((*sources_of(task.record), *retrieved)))
        request = LLMRequest(
            request_id=task.key,
            sources=sources,
            system="",
            user="",
            schema=Annotation,
            own_conditions=task.record.licence.conditions,
        )
        # The policy is asked before pixels are read: what may not be sent need not be opened.
        own = {task.record.source: task.record.licence.conditions}
        if not all(self.may_use(source, own.get(source, ())) for source in sources):
            return request
        system, user = render(task, self._settings)
        return replace(request, system=system, user=user, images=self._images(task))

    def _images(self, task: Task) -> tuple[Image.Image, ...]:
        if not task.images:
            return ()
        if task.root is None:
            raise InputError(f"{task.record.record_id}: the folder of its source was not given")
        size = (self._settings.image_size_px,) * 2
        read = [read_image(task.root, image) for image in task.images]
        for image in read:
            image.thumbnail(size)
        return tuple(read)

    def _received(self, task: Task, reply: LLMReply) -> Draft:
        draft = self._draft(task, failure=reply.failure, reason=reply.reason).model_copy(
            update={
                "model": reply.model or self.model,
                "tokens_in": reply.tokens_in,
                "tokens_out": reply.tokens_out,
                "cost_usd": reply.cost_usd,
            }
        )
        if not isinstance(reply.parsed, Annotation):
            return draft
        return draft.model_copy(
            update={
                "caption": reply.parsed.caption,
                "caption_image_ids": _shown(task),
                "qa": _questions(task, reply.parsed),
            }
        )

    def _draft(self, task: Task, *, failure: str, reason: str) -> Draft:
        return Draft(
            key=task.key,
            record_id=task.record.record_id,
            path=task.path,
            producer="model",
            model=self.model,
            prompt_hash=self.prompt_hash(task.path, task.record.source),
            image_ids=_shown(task),
            context=task.context,
            withheld=task.withheld,
            failure=failure,
            reason=reason,
        )


def _shown(task: Task) -> tuple[str, ...]:
    return tuple(image.image_id for image in task.images)


def _questions(task: Task, reply: Annotation) -> tuple[DraftQA, ...]:
    """Questions with image ids; a number without an image stays visible to the gate."""
    shown = _shown(task)
    return tuple(
        DraftQA(
            question=qa.question,
            answer=qa.answer,
            answer_type=qa.answer_type,
            image_ids=tuple(
                shown[number - 1] if 1 <= number <= len(shown) else f"no image {number}"
                for number in dict.fromkeys(qa.image_numbers)
            )
            or shown,
        )
        for qa in reply.qa
    )
