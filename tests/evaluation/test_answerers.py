import base64
import io
import socket
from typing import Any

import pytest
from chat_server import Answer
from PIL import Image

from evaluation.answerers import EndpointAnswerer
from evaluation.predictions import Prediction
from evaluation.questions import Picture, Question
from semihvision.core.batch import Turn
from semihvision.core.errors import InputError, PolicyError
from semihvision.core.policy import Permission
from semihvision.llm.client import LLMClient, LLMSettings


def question(name: str, **changes: Any) -> Question:
    picture = Picture(key=name, size_wh=(5, 4), read=lambda: Image.new("RGB", (5, 4), "red"))
    values: dict[str, Any] = {
        "id": name,
        "source": "vqa_rad",
        "turns": (Turn("human", f"<image>\nWhat is {name}?"),),
        "pictures": (picture,),
    }
    return Question(**{**values, **changes})


def ask(base_url: str, *questions: Question) -> dict[str, Prediction]:
    settings = LLMSettings(model="toy", base_url=base_url, max_retries=0, timeout_s=5.0)
    found: list[Prediction] = []
    EndpointAnswerer(LLMClient(settings)).answer(questions, found.append)
    return {one.id: one for one in found}


def test_words_and_image_are_sent_and_the_reply_is_the_answer(chat_server):
    chat_server.reply = lambda request: Answer(text="a heart")
    found = ask(chat_server.base_url, question("q1"))
    assert found["q1"].answer == "a heart"
    assert found["q1"].num_tokens == 2
    request = chat_server.requests[0]
    assert request.user == "What is q1?"
    data = request.image_urls[0].partition(",")[2]
    assert Image.open(io.BytesIO(base64.b64decode(data))).size == (5, 4)


def test_a_failed_request_and_an_unreadable_image_are_missing_with_reasons(chat_server):
    def unreadable() -> Image.Image:
        raise InputError("q2.png: unreadable image")

    chat_server.reply = lambda request: (
        Answer(status=400) if "q1" in request.user else Answer(text="x")
    )
    broken = question("q2", pictures=(Picture(key="q2", size_wh=(1, 1), read=unreadable),))
    found = ask(chat_server.base_url, question("q1"), broken, question("q3"))
    assert found["q1"].answer is None
    assert found["q1"].reason.startswith("transport")
    assert found["q2"].answer is None
    assert found["q2"].reason == "q2.png: unreadable image"
    assert found["q3"].answer == "x"


def test_a_conversation_of_several_turns_is_refused(chat_server):
    turns = (Turn("human", "a"), Turn("gpt", "b"), Turn("human", "c"))
    found = ask(chat_server.base_url, question("q1", turns=turns, pictures=()))
    assert found["q1"].answer is None
    assert "3 turns" in found["q1"].reason
    assert chat_server.requests == []


def test_a_restricted_source_is_refused_before_any_socket(monkeypatch):
    def forbidden(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", forbidden)
    monkeypatch.setattr(socket, "getaddrinfo", forbidden)
    with pytest.raises(PolicyError, match="states: "):
        ask("https://api.example.org/v1", question("q1", source="jama"))


def test_a_derivative_asks_for_all_its_sources(monkeypatch):
    monkeypatch.setattr(socket, "socket", lambda *_: pytest.fail("a socket was opened"))
    permission = Permission(source="vqa_rad", endpoint="https://api.example.org/v1")
    settings = LLMSettings(model="toy", base_url="https://api.example.org/v1")
    derived = question("q1", derived_from=("vqa_rad", "mimic_cxr"))
    assert derived.sources == ("vqa_rad", "mimic_cxr")
    with pytest.raises(PolicyError, match="mimic_cxr"):
        EndpointAnswerer(LLMClient(settings, [permission])).answer([derived], print)


def test_identity_names_model_endpoint_and_prompt(chat_server):
    settings = LLMSettings(model="toy", base_url=chat_server.base_url)
    identity = EndpointAnswerer(LLMClient(settings)).identity
    assert identity["model"] == "toy"
    assert identity["endpoint"] == chat_server.base_url
    assert len(str(identity["prompt_hash"])) == 64
