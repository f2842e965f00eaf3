import socket
import threading
from collections.abc import Callable

import pytest
from chat_server import Answer, ChatRequest, ChatServer
from llm_requests import KEY, ask, request, settings

from semihvision.core.errors import InputError
from semihvision.core.policy import CONDITIONS, Permission
from semihvision.llm.client import LLMClient, LLMSettings


def after(failures: int, broken: Answer) -> Callable[[ChatRequest], Answer]:
    lock = threading.Lock()
    left = [failures]

    def reply(asked: ChatRequest) -> Answer:
        with lock:
            left[0] -= 1
            return broken if left[0] >= 0 else Answer(text="at last")

    return reply


@pytest.mark.parametrize("status", [429, 500, 503])
def test_overload_is_retried_as_the_server_asks(chat_server: ChatServer, status: int) -> None:
    chat_server.reply = after(2, Answer(status=status, headers={"Retry-After": "0.01"}))
    assert ask(chat_server, max_retries=2).text == "at last"
    assert len(chat_server.requests) == 3


def test_retries_end(chat_server: ChatServer) -> None:
    chat_server.reply = lambda asked: Answer(status=429, headers={"Retry-After": "0.01"})
    reply = ask(chat_server, max_retries=1)
    assert (reply.failure, reply.reason) == (
        "transport",
        "the server refuses the request, status 429",
    )
    assert len(chat_server.requests) == 2


def test_a_slow_answer_times_out(chat_server: ChatServer) -> None:
    chat_server.reply = lambda asked: Answer(text="late", delay_s=0.5)
    reply = ask(chat_server, timeout_s=0.1)
    assert (reply.failure, reply.reason) == ("transport", "no answer came in time")


def test_nobody_listening_is_a_transport_failure() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        made = LLMSettings(model="toy", base_url=f"http://127.0.0.1:{port}/v1", max_retries=0)
        reply = LLMClient(made).run([request()])[0]
    assert (reply.failure, reply.reason) == ("transport", "no connection to the server")


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirects_are_not_followed(chat_server: ChatServer, status: int) -> None:
    with ChatServer() as elsewhere:
        target = elsewhere.base_url + "/chat/completions"
        chat_server.reply = lambda asked: Answer(status=status, headers={"Location": target})
        reply = ask(chat_server)
        assert elsewhere.connections == 0
    assert reply.failure == "transport"
    assert f"status {status}" in reply.reason


def test_loopback_ignores_proxies(chat_server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> None:
    with ChatServer() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        assert ask(chat_server).text == "ok"
        assert proxy.connections == 0


def test_a_remote_endpoint_is_not_reached_through_a_proxy_either(
    chat_server: ChatServer, remote_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with ChatServer() as proxy:
        for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        assert ask(chat_server, base_url=remote_endpoint).text == "ok"
        assert proxy.connections == 0
    assert chat_server.connections == 1


@pytest.mark.parametrize("sources", [(), ("deeplesion",)])
def test_nothing_is_sent_in_clear_to_another_machine(
    chat_server: ChatServer, monkeypatch: pytest.MonkeyPatch, sources: tuple[str, ...]
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    plain = f"http://127.1:{chat_server.port}/v1"
    given = Permission(source="deeplesion", endpoint=plain, states=tuple(CONDITIONS))
    client = LLMClient(settings(chat_server, base_url=plain), [given])
    reply = client.run([request(sources=sources)])[0]
    assert reply.failure == "policy"
    assert "https://" in reply.reason
    assert chat_server.connections == 0


def test_key_comes_from_the_environment(
    chat_server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    ask(chat_server)
    assert chat_server.requests[0].headers["authorization"] == f"Bearer {KEY}"


def test_a_remote_endpoint_needs_a_key(chat_server: ChatServer, remote_endpoint: str) -> None:
    with pytest.raises(InputError, match="OPENAI_API_KEY"):
        ask(chat_server, base_url=remote_endpoint)
    assert chat_server.connections == 0
