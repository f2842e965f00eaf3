"""What goes to a language model and what comes back: the types every caller codes against.

No network library is imported here, so that a command which may end up sending nothing (a plan, the
template producer) does not pay for one.
"""

import os
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from PIL.Image import Image
from pydantic import BaseModel

from semihvision.core.errors import InputError

OPENAI_BASE_URL = "https://api.openai.com/v1"

Failure = Literal["", "refusal", "cut_off", "invalid", "transport", "policy"]
"""Why a reply holds nothing to use; empty when it is fine.

``refusal``: the model declined or a content filter stopped it. ``cut_off``: `max_tokens` ended it.
``invalid``: the text does not fit the schema, or is empty. ``transport``: no usable HTTP answer
after all retries. ``policy``: the data-use policy refused, and nothing was sent.
"""


@dataclass(frozen=True, kw_only=True)
class LLMSettings:
    """Which model, where, and within which limits. The key is never a setting: see `LLMClient`.

    Attributes:
        model: Model name as the endpoint knows it, dated where the provider offers that.
        base_url: Base URL with the version path, e.g. ``http://127.0.0.1:8123/v1``. Empty:
            ``$OPENAI_BASE_URL``, and if that is unset OpenAI's own address.
        temperature: Sampling temperature, >= 0.
        max_tokens: Most tokens of one reply, > 0.
        concurrency: Most requests under way at a time, > 0.
        timeout_s: Longest wait for one answer, in seconds, > 0.
        max_retries: Further attempts after 408, 409, 429, 5xx or a broken connection; the wait
            obeys ``Retry-After`` up to 120 s.
        usd_per_million_in: Price of a million prompt tokens in US dollars; None if not known.
        usd_per_million_out: The same for completion tokens.
    """

    model: str
    base_url: str = ""
    temperature: float = 0.0
    max_tokens: int = 2000
    concurrency: int = 8
    timeout_s: float = 60.0
    max_retries: int = 8
    usd_per_million_in: float | None = None
    usd_per_million_out: float | None = None

    def __post_init__(self) -> None:
        if not self.model:
            raise InputError("model: expected the name of a model, found an empty string")
        for name in ("max_tokens", "concurrency", "timeout_s"):
            if getattr(self, name) <= 0:
                raise InputError(f"{name}: expected more than 0, found {getattr(self, name)}")
        for name in ("temperature", "max_retries", "usd_per_million_in", "usd_per_million_out"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise InputError(f"{name}: expected at least 0, found {value}")
        if (self.usd_per_million_in is None) != (self.usd_per_million_out is None):
            raise InputError("prices: expected both usd_per_million_in and ..._out, or neither")
        resolve_endpoint(self.base_url)

    def cost_usd(self, tokens_in: int, tokens_out: int) -> float | None:
        """Cost of so many tokens in US dollars; None where no price is set."""
        if self.usd_per_million_in is None or self.usd_per_million_out is None:
            return None
        total = tokens_in * self.usd_per_million_in + tokens_out * self.usd_per_million_out
        return total / 1_000_000


def resolve_endpoint(base_url: str) -> str:
    """The base URL requests go to: the setting, else ``$OPENAI_BASE_URL``, else OpenAI's.

    Raises:
        InputError: No http(s) address, or one that carries user name, password, query or fragment
            (a key could stand there, and the address is logged and stored).
    """
    endpoint = base_url or os.environ.get("OPENAI_BASE_URL", "") or OPENAI_BASE_URL
    try:
        url = urlsplit(endpoint)
        usable = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise InputError("base_url: expected an address such as http://127.0.0.1:8123/v1")
    if url.username or url.password or url.query or url.fragment:
        raise InputError(
            "base_url: expected no user name, password, query or fragment; "
            "a key belongs in $OPENAI_API_KEY"
        )
    return endpoint.rstrip("/")


@dataclass(frozen=True, kw_only=True)
class LLMRequest:
    """One question to a model.

    Attributes:
        request_id: Comes back in the reply; callers join by it.
        sources: Every source whose data or derivatives stand in the messages, retrieved ones
            included. Empty only for text of our own.
        own_conditions: Conditions of the licence of the record itself, which belongs to the first
            source.
        system: System message.
        user: User message.
        images: Images that follow the user message, in order; their metadata are not sent.
        schema: The reply must be a JSON object of this type; None for free text.
    """

    request_id: str
    sources: tuple[str, ...]
    system: str
    user: str
    images: tuple[Image, ...] = ()
    schema: type[BaseModel] | None = None
    own_conditions: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class LLMReply:
    """What came back for one request.

    Attributes:
        request_id: As in the request.
        text: Reply as received; empty if there was none.
        parsed: Validated object of the request's schema; None without a schema or on a failure.
        model: Snapshot the server says it used; empty if there was no answer.
        tokens_in: Prompt tokens the server counted; 0 if it did not say.
        tokens_out: Completion tokens likewise.
        cost_usd: Price of these tokens; None without prices or without a count.
        failure: Kind of failure, empty if fine.
        reason: One sentence about the failure, without any content of messages or reply.
        seconds: Wall time, retries included.
    """

    request_id: str
    text: str = ""
    parsed: BaseModel | None = None
    model: str = ""
    tokens_in: int = 0
    tokens_out: int = 0
    cost_usd: float | None = None
    failure: Failure = ""
    reason: str = ""
    seconds: float = 0.0


def failed_reply(
    request: LLMRequest, failure: Failure, reason: str, *, seconds: float = 0.0
) -> LLMReply:
    """The reply that stands for a failure, without words or tokens."""
    return LLMReply(request_id=request.request_id, failure=failure, reason=reason, seconds=seconds)
