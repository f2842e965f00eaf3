"""The settings by which every command names a language model, and the client they make."""

from typing import TYPE_CHECKING, Any

from jsonargparse import ArgumentParser

from semihvision.core.policy import Permission
from semihvision.llm.exchange import LLMSettings

if TYPE_CHECKING:
    from semihvision.llm.client import LLMClient


_LIMITS: dict[str, tuple[Any, str]] = {
    "temperature": (float, "randomness of the model, 0 to 2; 0: the likeliest words"),
    "max_tokens": (int, "longest reply, tokens"),
    "concurrency": (int, "requests under way at the same time"),
    "usd_per_million_in": (float | None, "price of a million prompt tokens, US dollars"),
    "usd_per_million_out": (float | None, "price of a million reply tokens, US dollars"),
}
"""Name of a setting -> its type and what it means."""


def add_endpoint_arguments(made: ArgumentParser, *, max_tokens: int) -> None:
    """Adds ``llm``, ``base_url``, ``permissions`` and the limits to a command.

    Args:
        made: Parser of the command.
        max_tokens: Default for the longest reply in tokens.
    """
    made.add_argument(
        "--llm",
        metavar="MODEL",
        type=str,
        default="",
        help="ask this language model; its name at the endpoint",
    )
    made.add_argument(
        "--base-url",
        metavar="URL",
        type=str,
        default="",
        help="OpenAI-compatible endpoint; default: $OPENAI_BASE_URL, else OpenAI's",
    )
    made.add_argument(
        "--permissions",
        type=list[Permission],
        default=[],
        help="your statements of what may be sent where (YAML; `semihvision sources` lists terms)",
    )
    defaults = LLMSettings(model="default", max_tokens=max_tokens)
    for name, (kind, text) in _LIMITS.items():
        made.add_argument(f"--{name}", type=kind, default=getattr(defaults, name), help=text)


def make_client(arguments: Any) -> "LLMClient":
    """The client for the parsed and instantiated arguments of a command.

    Raises:
        InputError: A setting is out of range, or the address is none.
    """
    from semihvision.llm.client import LLMClient

    settings = LLMSettings(
        model=arguments.llm,
        base_url=arguments.base_url,
        temperature=arguments.temperature,
        max_tokens=arguments.max_tokens,
        concurrency=arguments.concurrency,
        usd_per_million_in=arguments.usd_per_million_in,
        usd_per_million_out=arguments.usd_per_million_out,
    )
    return LLMClient(settings, arguments.permissions)
