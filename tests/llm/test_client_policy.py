import socket
from typing import Any

import pytest
from chat_server import ChatServer
from llm_requests import KEY, ask, request, settings

from semihvision.core.errors import PolicyError
from semihvision.core.policy import Permission
from semihvision.llm.client import LLMClient, LLMSettings


def test_a_refused_source_opens_no_connection(
    chat_server: ChatServer, remote_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    reply = ask(
        chat_server,
        request(sources=("mimic_cxr",)),
        base_url=remote_endpoint,
        max_retries=3,
    )
    assert reply.failure == "policy"
    assert "mimic_cxr" in reply.reason
    assert "permissions:" in reply.reason
    assert chat_server.connections == 0


def test_one_refused_source_among_several_is_enough(
    chat_server: ChatServer, remote_endpoint: str
) -> None:
    endpoint = remote_endpoint
    allowed = Permission(source="radiopaedia", endpoint=endpoint, states=("owner_permission",))
    client = LLMClient(settings(chat_server, base_url=endpoint), [allowed])
    reply = client.run([request(sources=("radiopaedia", "mimic_cxr"))])[0]
    assert reply.failure == "policy"
    assert chat_server.connections == 0


def test_a_permitted_source_is_sent(
    chat_server: ChatServer, remote_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    endpoint = remote_endpoint
    states = ("zero_retention", "no_training", "no_human_review", "agreement_allows")
    permission = Permission(source="mimic_cxr", endpoint=endpoint, states=states)
    client = LLMClient(settings(chat_server, base_url=endpoint), [permission])
    reply = client.run([request(sources=("mimic_cxr",))])[0]
    assert (reply.failure, reply.text) == ("", "ok")
    assert chat_server.connections == 1


def test_an_unknown_source_is_not_sent(chat_server: ChatServer, remote_endpoint: str) -> None:
    reply = ask(chat_server, request(sources=("no_such",)), base_url=remote_endpoint)
    assert reply.failure == "policy"
    assert chat_server.connections == 0


def test_restricted_data_may_go_to_this_machine(chat_server: ChatServer) -> None:
    reply = ask(chat_server, request(sources=("mimic_cxr",)))
    assert (reply.failure, reply.text) == ("", "ok")


def test_refusal_touches_no_socket_and_no_name_server(monkeypatch: pytest.MonkeyPatch) -> None:
    touched: list[str] = []

    def refuse(*args: Any, **kwargs: Any) -> Any:
        touched.append(str(args))
        raise OSError("touched the network")

    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    made = LLMSettings(model="toy", base_url="https://api.example.org/v1", max_retries=0)
    client = LLMClient(made)
    assert client.run([request(sources=("mimic_cxr",))])[0].failure == "policy"
    assert touched == []
    assert client.run([request(sources=())])[0].failure == "transport"
    assert touched != [], "the patched functions are not the ones a request goes through"


def test_the_policy_can_be_asked_beforehand(chat_server: ChatServer) -> None:
    client = LLMClient(settings(chat_server, base_url="https://api.example.org/v1"))
    with pytest.raises(PolicyError, match="mimic_cxr"):
        client.require_may_send(["mimic_cxr"])
    LLMClient(settings(chat_server)).require_may_send(["mimic_cxr"])
