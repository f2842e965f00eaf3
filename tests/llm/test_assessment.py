import logging
from typing import Literal

import pytest
from chat_server import Answer, ChatServer, as_json
from llm_requests import KEY, SECRET, ask, request
from pydantic import BaseModel, ConfigDict


class Verdict(BaseModel):
    model_config = ConfigDict(extra="forbid")

    score: float
    kind: Literal["a", "b"]


@pytest.mark.parametrize(
    "text",
    ['{"score": 3.5, "kind": "a"}', 'Sure:\n```json\n{"score": 3.5, "kind": "a"}\n```\nDone.'],
    ids=["json only", "json in text"],
)
def test_schema_is_asked_for_and_validated(chat_server: ChatServer, text: str) -> None:
    chat_server.reply = lambda asked: Answer(text=text)
    reply = ask(chat_server, request(schema=Verdict))
    assert reply.parsed == Verdict(score=3.5, kind="a")
    assert reply.failure == ""
    wanted = chat_server.requests[0].body["response_format"]
    assert wanted["type"] == "json_schema"
    assert wanted["json_schema"]["strict"] is True
    assert wanted["json_schema"]["name"] == "Verdict"
    assert set(wanted["json_schema"]["schema"]["required"]) == {"score", "kind"}
    assert wanted["json_schema"]["schema"]["additionalProperties"] is False


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        (Answer(refusal=SECRET), "refusal"),
        (Answer(text=SECRET, finish_reason="content_filter"), "refusal"),
        (Answer(text='{"score": 3', finish_reason="length"), "cut_off"),
        (Answer(text=SECRET), "invalid"),
        (Answer(text="  "), "invalid"),
        (as_json({"score": SECRET, "kind": SECRET}), "invalid"),
        (as_json({"score": 1, "kind": "a", SECRET: 1}), "invalid"),
        (Answer(body=b"{not json " + SECRET.encode()), "transport"),
        (Answer(body=b"[]"), "transport"),
        (Answer(body=b'{"choices": []}'), "transport"),
        (Answer(body=b'"' + SECRET.encode() + b'"'), "transport"),
        (Answer(status=400, body=b'{"error": {"code": "%s"}}' % SECRET.encode()), "transport"),
        (Answer(status=401), "transport"),
        (Answer(status=500, body=SECRET.encode()), "transport"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_failures_are_told_apart_and_leak_nothing(
    chat_server: ChatServer,
    answer: Answer,
    failure: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    caplog.set_level(logging.DEBUG)
    chat_server.reply = lambda asked: answer
    reply = ask(chat_server, request(schema=Verdict, user=SECRET))
    assert (reply.failure, reply.parsed) == (failure, None)
    assert reply.reason
    for text in (reply.reason, caplog.text):
        assert SECRET not in text
        assert KEY not in text


def test_a_paid_reply_that_is_invalid_still_counts_its_tokens(chat_server: ChatServer) -> None:
    chat_server.reply = lambda asked: Answer(text="no json at all")
    reply = ask(chat_server, request(schema=Verdict))
    assert (reply.failure, reply.tokens_out, reply.model) == ("invalid", 4, "toy-loopback")


def test_known_error_codes_are_named(chat_server: ChatServer) -> None:
    body = b'{"error": {"message": "x", "code": "insufficient_quota"}}'
    chat_server.reply = lambda asked: Answer(status=403, body=body)
    assert (
        ask(chat_server).reason
        == "the server refuses the request, status 403, code insufficient_quota"
    )
