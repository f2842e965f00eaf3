import asyncio
import base64
import io
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any, Literal

import pytest
from chat_server import Answer, ChatRequest, ChatServer, as_json
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from pydantic import BaseModel, ConfigDict

from semihvision.core.errors import InputError, PolicyError
from semihvision.core.policy import CONDITIONS, Permission
from semihvision.llm.client import LLMClient, LLMReply, LLMRequest, LLMSettings

SECRET = "zebra-phrase-of-a-patient"
KEY = "sk-not-a-real-key"


class Verdict(BaseModel):
    model_config = ConfigDict(extra="forbid")

    score: float
    kind: Literal["a", "b"]


def settings(server: ChatServer, **changes: Any) -> LLMSettings:
    values = {"model": "toy", "base_url": server.base_url, "max_retries": 0, "timeout_s": 5.0}
    return LLMSettings(**{**values, **changes})


def request(number: int = 0, **changes: Any) -> LLMRequest:
    values: dict[str, Any] = {"request_id": f"r{number}", "sources": (), "system": "s"}
    return LLMRequest(**{**values, "user": f"question {number}", **changes})


def ask(server: ChatServer, asked: LLMRequest | None = None, **changes: Any) -> LLMReply:
    return LLMClient(settings(server, **changes)).run([asked or request()])[0]


def named_after_a_patient(image: Image.Image) -> Image.Image:
    """The image as read from a PNG that says a name everywhere a PNG can."""
    text = PngInfo()
    text.add_text("Comment", SECRET)
    text.add_itxt("XML:com.adobe.xmp", SECRET)
    exif = image.getexif()
    exif[0x010E] = SECRET
    file = io.BytesIO()
    image.save(file, "PNG", pnginfo=text, exif=exif, icc_profile=SECRET.encode(), dpi=(300, 300))
    read = Image.open(file)
    read.load()
    return read


def chunks_of(png: bytes) -> Iterator[str]:
    """Names of the chunks of a PNG file."""
    place = 8
    while place < len(png):
        length = int.from_bytes(png[place : place + 4])
        yield png[place + 4 : place + 8].decode()
        place += 12 + length


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


# What arrives and what comes back


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


def test_images_arrive_as_pixels_without_metadata(chat_server: ChatServer) -> None:
    image = named_after_a_patient(Image.new("RGB", (5, 4), (10, 200, 30)))
    assert {"Comment", "icc_profile", "exif", "dpi"} <= set(image.info)
    ask(chat_server, request(images=(image, image.resize((2, 2)))))
    urls = chat_server.requests[0].image_urls
    assert len(urls) == 2
    data = base64.b64decode(urls[0].removeprefix("data:image/png;base64,"))
    assert SECRET.encode() not in data
    arrived = Image.open(io.BytesIO(data))
    assert (arrived.size, arrived.getpixel((0, 0))) == ((5, 4), (10, 200, 30))
    assert not arrived.info
    assert not arrived.getexif()
    assert set(chunks_of(data)) == {"IHDR", "IDAT", "IEND"}


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


# Structured output


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


# Retries, redirects, proxies, keys


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


# Policy


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


# Settings


@pytest.mark.parametrize(
    "changes",
    [
        {"model": ""},
        {"concurrency": 0},
        {"timeout_s": 0},
        {"max_retries": -1},
        {"usd_per_million_in": 1.0},
        {"base_url": "api.example.org"},
        {"base_url": "ftp://example.org"},
        {"base_url": f"https://user:{KEY}@example.org/v1"},
        {"base_url": f"https://example.org/v1?key={KEY}"},
        {"base_url": "http://[::1/v1"},
    ],
)
def test_unusable_settings_are_named(changes: dict[str, Any]) -> None:
    with pytest.raises(InputError) as caught:
        LLMSettings(**{"model": "toy", **changes})
    assert KEY not in str(caught.value)


def test_the_endpoint_can_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert LLMClient(LLMSettings(model="toy")).endpoint == "https://api.openai.com/v1"
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1/")
    assert LLMClient(LLMSettings(model="toy")).endpoint == "http://127.0.0.1:9/v1"
    made = LLMSettings(model="toy", base_url="http://127.0.0.1:8/v1")
    assert LLMClient(made).endpoint == "http://127.0.0.1:8/v1"
