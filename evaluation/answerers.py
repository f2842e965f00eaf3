"""Who answers questions: a protocol, and the answerer behind an OpenAI-compatible endpoint.

The answerer for a model folder is in `evaluation.local_model`, which imports torch.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from evaluation.predictions import Prediction
from evaluation.prompts import load_prompt
from evaluation.questions import Question
from semihvision.core.batch import IMAGE_PLACEHOLDER
from semihvision.core.errors import InputError
from semihvision.llm.exchange import LLMReply, LLMRequest

if TYPE_CHECKING:
    from semihvision.llm.client import LLMClient


OnAnswer = Callable[[Prediction], None]
"""Called as each answer arrives, in any order; one of None says why there is none."""


class Answerer(Protocol):
    """Answers questions.

    Attributes:
        identity: Everything its answers depend on besides the question: model hash or name and
            endpoint, decoding settings, prompt hash. Never a secret.
    """

    @property
    def identity(self) -> Mapping[str, str | int | float]:
        """See the class."""
        ...

    def answer(self, questions: Sequence[Question], on_answer: OnAnswer) -> None:
        """Answers every question once, each through `on_answer`.

        Raises:
            PolicyError: The questions' source may not go where this answerer would send it;
                nothing was sent.
        """
        ...


class EndpointAnswerer:
    """Asks a model behind an OpenAI-compatible endpoint, one request a question.

    Args:
        client: Endpoint, model, limits and permissions.
    """

    def __init__(self, client: "LLMClient") -> None:
        self._client = client
        self._system = load_prompt("vqa_system")

    @property
    def identity(self) -> Mapping[str, str | int | float]:
        """Model, endpoint, decoding settings, hash of the system message."""
        settings = self._client.settings
        return {
            "model": settings.model,
            "endpoint": self._client.endpoint,
            "temperature": settings.temperature,
            "max_tokens": settings.max_tokens,
            "prompt_hash": self._system.sha256,
        }

    def answer(self, questions: Sequence[Question], on_answer: OnAnswer) -> None:
        """See `Answerer`. An unreadable image and a failed request give an answer of None."""
        self._client.require_may_send(source for one in questions for source in one.sources)
        self._client.run(
            self._requests(questions, on_answer),
            on_reply=lambda reply: on_answer(_prediction(reply)),
        )

    def _requests(self, questions: Sequence[Question], on_answer: OnAnswer) -> Iterator[LLMRequest]:
        for question in questions:
            try:
                yield self._request(question)
            except InputError as error:
                on_answer(Prediction(id=question.id, answer=None, reason=str(error)))

    def _request(self, question: Question) -> LLMRequest:
        if len(question.turns) != 1:
            raise InputError(f"{len(question.turns)} turns; endpoints are asked one turn only")
        return LLMRequest(
            request_id=question.id,
            sources=question.sources,
            system=self._system.text,
            user=question.turns[0].text.replace(IMAGE_PLACEHOLDER, "").strip(),
            images=tuple(picture.read() for picture in question.pictures),
        )


def _prediction(reply: LLMReply) -> Prediction:
    if reply.failure:
        reason = f"{reply.failure}: {reply.reason}"
        return Prediction(id=reply.request_id, answer=None, reason=reason)
    tokens = reply.tokens_out or None
    return Prediction(id=reply.request_id, answer=reply.text, num_tokens=tokens)
