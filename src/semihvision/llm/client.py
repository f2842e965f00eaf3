"""The OpenAI-compatible client: the only file that imports openai.

Before anything is sent, the data-use policy is asked for every source of the request; a refusal
opens no socket. Messages, replies and keys never enter a log or an error message.
"""

import asyncio
import json
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import openai
from openai.types.chat import ChatCompletion
from pydantic import BaseModel

from semihvision.core.card import card
from semihvision.core.errors import InputError, PolicyError
from semihvision.core.policy import Permission, is_loopback, require_encryption, require_may_send
from semihvision.core.reasons import in_words
from semihvision.llm.assessment import assess
from semihvision.llm.exchange import (
    LLMReply,
    LLMRequest,
    LLMSettings,
    failed_reply,
    resolve_endpoint,
)
from semihvision.llm.payload import payload_of

__all__ = ["LLMClient", "LLMReply", "LLMRequest", "LLMSettings"]

_CONNECT_TIMEOUT_S = 5.0

_SAFE_ERROR_CODES = frozenset(
    {
        "content_filter", "content_policy_violation", "context_length_exceeded",
        "insufficient_quota", "invalid_api_key", "model_not_found", "rate_limit_exceeded",
        "unsupported_parameter", "unsupported_value",
    }
)  # fmt: skip
"""The server's error codes that are repeated to the user; anything else could echo content."""


class LLMClient:
    """Sends requests to one OpenAI-compatible endpoint, within the policy and the limits.

    The key is read from ``$OPENAI_API_KEY`` and nowhere else; an endpoint on this machine needs
    none. Redirects are never followed, since they could leave the permitted endpoint, and proxies
    of the environment are never used, since nobody has permitted them.

    Structured output is asked for with ``response_format`` (json_schema, strict) and validated
    here with pydantic. A reply that wraps the object in other text, as servers without that
    feature send, is accepted; anything that does not validate is the failure ``invalid``.
    Deviation from the SDK's own ``chat.completions.parse``: it raises on such a reply and so loses
    the tokens that were paid for.

    Args:
        settings: Model, endpoint, limits, prices.
        permissions: The user's statements about what may go where.

    Raises:
        InputError: The endpoint is no usable address.
    """

    def __init__(self, settings: LLMSettings, permissions: Sequence[Permission] = ()) -> None:
        self.settings = settings
        self.endpoint = resolve_endpoint(settings.base_url)
        self._permissions = tuple(permissions)
        self._key = os.environ.get("OPENAI_API_KEY", "")

    def require_may_send(self, sources: Iterable[str], own: Sequence[str] = ()) -> None:
        """Asks the policy about every source for this endpoint, without sending anything.

        Args:
            sources: Their names, that of the record itself first.
            own: Conditions of the record's own licence.

        Raises:
            PolicyError: Not allowed, or not encrypted; the message says what to do.
            InputError: A source is unknown.
        """
        if is_loopback(self.endpoint):
            return
        require_encryption(self.endpoint)
        for place, source in enumerate(dict.fromkeys(sources)):
            of_record = own if place == 0 else ()
            require_may_send(card(source), self.endpoint, self._permissions, of_record)

    async def complete(self, request: LLMRequest) -> LLMReply:
        """Sends one request.

        Returns:
            The reply. Every failure of one request, the policy's included, is a reply with
            `failure` set; for a policy failure nothing was sent and nothing is retried.

        Raises:
            InputError: The endpoint needs a key and ``$OPENAI_API_KEY`` is not set.
        """
        async with self._open() as api:
            return await self._exchange(api, request)

    def run(
        self,
        requests: Iterable[LLMRequest],
        on_reply: Callable[[LLMReply], None] | None = None,
    ) -> list[LLMReply]:
        """Sends requests, at most `settings.concurrency` at a time, in an event loop of its own.

        Args:
            requests: Consumed lazily, so that a generator need not hold all images at once.
            on_reply: Called in this thread as each reply arrives, in any order. An exception it
                raises stops the run.

        Returns:
            One reply for each request, in the order of the requests.

        Raises:
            InputError: As `complete`.
        """
        return asyncio.run(self._run(enumerate(requests), on_reply))

    async def _run(
        self,
        numbered: Iterator[tuple[int, LLMRequest]],
        on_reply: Callable[[LLMReply], None] | None,
    ) -> list[LLMReply]:
        replies: dict[int, LLMReply] = {}
        stopped = False

        async def work(api: openai.AsyncOpenAI) -> None:
            nonlocal stopped
            for position, request in numbered:
                reply = await self._exchange(api, request)
                if stopped:
                    return
                replies[position] = reply
                if on_reply is not None:
                    stopped = True  # holds only if on_reply raises
                    on_reply(reply)
                    stopped = False

        async with self._open() as api:
            tasks = [asyncio.create_task(work(api)) for _ in range(self.settings.concurrency)]
            try:
                await asyncio.gather(*tasks)
            except BaseException:
                # Stop the others before the connection closes under them: a request that breaks
                # because of our own exit must not be reported as a failure of the server.
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                raise
        return [replies[position] for position in sorted(replies)]

    def _open(self) -> openai.AsyncOpenAI:
        # The SDK and its HTTP library log request lines; nothing of theirs may show content.
        for name in ("openai", "httpx2", "httpcore2"):
            logging.getLogger(name).setLevel(logging.WARNING)
        timeout = openai.Timeout(self.settings.timeout_s, connect=_CONNECT_TIMEOUT_S, pool=None)
        return openai.AsyncOpenAI(
            base_url=self.endpoint,
            api_key=self._key or "none",
            max_retries=self.settings.max_retries,
            timeout=timeout,
            http_client=openai.DefaultAsyncHttpxClient(
                timeout=timeout,
                follow_redirects=False,
                trust_env=False,
            ),
        )

    async def _exchange(self, api: openai.AsyncOpenAI, request: LLMRequest) -> LLMReply:
        try:
            self.require_may_send(request.sources, request.own_conditions)
        except (PolicyError, InputError) as error:
            return failed_reply(request, "policy", str(error))
        if not self._key and not is_loopback(self.endpoint):
            raise InputError(f"{self.endpoint} needs a key: set $OPENAI_API_KEY")
        started = time.monotonic()
        try:
            completion = await api.chat.completions.create(**self._payload(request))
        except openai.APIError as error:
            seconds = time.monotonic() - started
            return failed_reply(request, "transport", _transport_reason(error), seconds=seconds)
        except json.JSONDecodeError:
            seconds = time.monotonic() - started
            return failed_reply(request, "transport", "the answer is no JSON", seconds=seconds)
        return self._reply(request, completion, time.monotonic() - started)

    def _payload(self, request: LLMRequest) -> dict[str, Any]:
        payload = payload_of(request, self.settings)
        if request.schema is not None:
            payload["response_format"] = _response_format(request.schema)
        return payload

    def _reply(self, request: LLMRequest, completion: Any, seconds: float) -> LLMReply:
        if not isinstance(completion, ChatCompletion) or not completion.choices:
            return failed_reply(
                request, "transport", "the answer holds no choices", seconds=seconds
            )
        usage = completion.usage
        tokens_in = (usage and usage.prompt_tokens) or 0
        tokens_out = (usage and usage.completion_tokens) or 0
        choice, message = completion.choices[0], completion.choices[0].message
        text, parsed, failure, reason = assess(
            request.schema,
            text=message.content if message and isinstance(message.content, str) else "",
            refusal=message.refusal if message else None,
            finish_reason=choice.finish_reason,
        )
        return LLMReply(
            request_id=request.request_id,
            text=text,
            parsed=parsed,
            model=completion.model or "",
            tokens_in=tokens_in,
            tokens_out=tokens_out,
            cost_usd=self.settings.cost_usd(tokens_in, tokens_out) if usage else None,
            failure=failure,
            reason=reason,
            seconds=seconds,
        )


def _transport_reason(error: openai.APIError) -> str:
    """Kind, status and well-known code of an API error; the server's message may echo content."""
    reason = in_words(error)
    if isinstance(error, openai.APIStatusError):
        reason += f", status {error.status_code}"
    if error.code in _SAFE_ERROR_CODES:
        reason += f", code {error.code}"
    return reason


def _response_format(schema: type[BaseModel]) -> dict[str, Any]:
    """The strict JSON schema of a pydantic model, by the SDK's own conversion."""
    function = openai.pydantic_function_tool(schema)["function"]
    return {
        "type": "json_schema",
        "json_schema": {
            "name": schema.__name__,
            "schema": function["parameters"],
            "strict": True,
        },
    }
