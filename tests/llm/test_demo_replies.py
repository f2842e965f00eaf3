"""The demo server answers every kind of prompt that the pipeline and the judge send."""

import asyncio
import subprocess
import sys
from enum import Enum
from pathlib import Path

import pytest
from chat_server import ChatServer
from demo_replies import demo_reply
from pydantic import BaseModel, Field

from semihvision.annotation.prompts import Annotation
from semihvision.llm.client import LLMClient, LLMReply, LLMRequest, LLMSettings

SERVER = Path(__file__).resolve().parents[1] / "support/chat_server.py"


class Kind(Enum):
    """Some closed list."""

    A = "a"
    B = "b"


class Inner(BaseModel):
    words: list[str] = Field(min_length=4, max_length=6)
    kind: Kind
    sure: bool


class Odd(BaseModel):
    number: int = Field(ge=2, le=9)
    rating: float = Field(ge=0, le=5)
    inner: Inner
    more: list[Inner] | None


def ask(server: ChatServer, user: str, schema: type[BaseModel] | None = None) -> LLMReply:
    client = LLMClient(LLMSettings(model="demo", base_url=server.base_url, max_retries=0))
    request = LLMRequest(request_id="r", sources=(), system="s", user=user, schema=schema)
    return asyncio.run(client.complete(request))


@pytest.mark.parametrize("schema", [Annotation, Odd])
def test_demo_replies_fit_any_schema(chat_server: ChatServer, schema: type[BaseModel]) -> None:
    chat_server.reply = demo_reply
    reply = ask(chat_server, "KNOWN\n- modality: CT\n- organ: liver", schema)
    assert (reply.failure, type(reply.parsed)) == ("", schema)


def test_demo_annotations_say_what_is_known(chat_server: ChatServer) -> None:
    chat_server.reply = demo_reply
    reply = ask(chat_server, "KNOWN\n- modality: CT\n- organ: liver", Annotation)
    assert isinstance(reply.parsed, Annotation)
    assert reply.parsed.caption == "Demo caption. modality: CT; organ: liver."
    assert [qa.answer for qa in reply.parsed.qa] == ["CT", "liver"]


def test_demo_scores_follow_the_answer(chat_server: ChatServer) -> None:
    chat_server.reply = demo_reply
    prompt = (
        "<key_points>\n1. fever and rash\n2. enlarged spleen\n</key_points>"
        "<student_answer>{}</student_answer> one number from 0 to 5"
    )
    said = [
        ask(chat_server, prompt.format(a)).text
        for a in ("", "a rash, fever", "spleen, rash and fever")
    ]
    assert said == ["0.0", "2.5", "5.0"]


def test_the_server_starts_by_hand() -> None:
    with subprocess.Popen(
        [sys.executable, str(SERVER), "--port", "0"], stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        address = line.split(" at ")[1].split(";")[0]
        made = LLMSettings(model="demo", base_url=address, max_retries=0)
        request = LLMRequest(request_id="r", sources=(), system="s", user="Hello.")
        reply = LLMClient(made).run([request])[0]
        process.terminate()
        process.stderr.read()
    assert reply.text.startswith("This is a demo reply")
