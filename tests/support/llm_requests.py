"""Settings and requests for the loopback chat server, and one that asks it."""

from typing import Any

from chat_server import ChatServer

from semihvision.llm.client import LLMClient, LLMReply, LLMRequest, LLMSettings

SECRET = "zebra-phrase-of-a-patient"
KEY = "sk-not-a-real-key"


def settings(server: ChatServer, **changes: Any) -> LLMSettings:
    values = {"model": "toy", "base_url": server.base_url, "max_retries": 0, "timeout_s": 5.0}
    return LLMSettings(**{**values, **changes})


def request(number: int = 0, **changes: Any) -> LLMRequest:
    values: dict[str, Any] = {"request_id": f"r{number}", "sources": (), "system": "s"}
    return LLMRequest(**{**values, "user": f"question {number}", **changes})


def ask(server: ChatServer, asked: LLMRequest | None = None, **changes: Any) -> LLMReply:
    return LLMClient(settings(server, **changes)).run([asked or request()])[0]
