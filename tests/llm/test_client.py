import asyncio
from typing import Any

import pytest
from chat_server import Answer, ChatRequest, ChatServer
from llm_requests import ask, request, settings

from semihvision.llm.client import LLMClient, LLMReply


def test_text_tokens_and_cost_come_back(chat_server: ChatServer) -> None:
    chat_server.reply = lambda asked: Answer(text="three words here")
    reply = ask(chat_server, usd_per_million_in=2.0, usd_per_million_out=10.0)
    assert (reply.request_id, reply.text, reply.failure) == ("r0", "three words here", "")
    assert reply.model == "toy-loopback"
    assert (reply.tokens_in, reply.tokens_out) == (3, 3)
    assert reply.cost_usd == pytest.approx((3 * 2 + 3 * 10) / 1e6)
    assert reply.seconds > 0


def test_settings_reach_the_server(chat_server: ChatServer) -> None:
    ask(chat_server, temperature=0.5, max_tokens=77)
    body = chat_server.requests[0].body
    assert (body["model"], body["temperature"], body["max_tokens"]) == ("toy", 0.5, 77)
    assert [message["role"] for message in body["messages"]] == ["system", "user"]
    assert "response_format" not in body


def test_without_prices_or_counts_there_is_no_cost(chat_server: ChatServer) -> None:
    assert ask(chat_server).cost_usd is None
    chat_server.reply = lambda asked: Answer(text="x", usage=False)
    reply = ask(chat_server, usd_per_million_in=2.0, usd_per_million_out=10.0)
    assert (reply.tokens_in, reply.tokens_out, reply.cost_usd) == (0, 0, None)


def test_replies_keep_the_order_of_requests(chat_server: ChatServer) -> None:
    def reply(asked: ChatRequest) -> Answer:
        number = int(asked.user.split()[-1])
        return Answer(text=asked.user, delay_s=0.06 if number % 3 == 0 else 0.03)

    chat_server.reply = reply
    seen: list[str] = []
    client = LLMClient(settings(chat_server, concurrency=4))
    replies = client.run(
        (request(i) for i in range(20)), on_reply=lambda one: seen.append(one.request_id)
    )
    assert [one.text for one in replies] == [f"question {i}" for i in range(20)]
    assert sorted(seen) == sorted(one.request_id for one in replies)
    assert 2 <= chat_server.most_concurrent <= 4


def test_requests_are_taken_as_they_are_needed(chat_server: ChatServer) -> None:
    taken: list[int] = []
    finished: list[int] = []

    def requests() -> Any:
        for i in range(30):
            taken.append(i)
            assert len(taken) - len(finished) <= 2
            yield request(i)

    LLMClient(settings(chat_server, concurrency=2)).run(
        requests(), on_reply=lambda one: finished.append(1)
    )
    assert len(finished) == 30


def test_an_exception_of_the_caller_stops_the_run(chat_server: ChatServer) -> None:
    chat_server.reply = lambda asked: Answer(text="x", delay_s=0.02)
    seen: list[LLMReply] = []

    def stop(reply: LLMReply) -> None:
        seen.append(reply)
        if len(seen) == 5:
            raise KeyError("stop here")

    with pytest.raises(KeyError, match="stop here"):
        LLMClient(settings(chat_server, concurrency=4)).run(
            (request(i) for i in range(100)), on_reply=stop
        )
    assert len(seen) == 5
    assert not any(reply.failure for reply in seen)
    assert len(chat_server.requests) < 15


def test_complete_works_in_a_loop_of_the_caller(chat_server: ChatServer) -> None:
    client = LLMClient(settings(chat_server))
    assert asyncio.run(client.complete(request())).text == "ok"
