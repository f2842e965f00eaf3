"""A real HTTP server on loopback that speaks the chat-completions protocol.

In a test, use the fixture `chat_server` and set what it answers::

    chat_server.reply = lambda request: Answer(text="Score: 3")

By hand, with the demo replies of `demo_replies.py`::

    python tests/support/chat_server.py --port 8123
    semihvision quickstart --base-url http://127.0.0.1:8123/v1 --llm demo
"""

import argparse
import json
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from socketserver import ThreadingMixIn
from types import TracebackType
from typing import Any


@dataclass(frozen=True, kw_only=True)
class ChatRequest:
    """One request as the server received it; header names are in lower case."""

    body: dict[str, Any]
    headers: dict[str, str]

    @property
    def system(self) -> str:
        return str(self.body["messages"][0]["content"])

    @property
    def user(self) -> str:
        """All text of the last message."""
        content = self.body["messages"][-1]["content"]
        if isinstance(content, str):
            return content
        return "\n".join(part["text"] for part in content if part["type"] == "text")

    @property
    def image_urls(self) -> list[str]:
        content = self.body["messages"][-1]["content"]
        if isinstance(content, str):
            return []
        return [part["image_url"]["url"] for part in content if part["type"] == "image_url"]

    @property
    def schema_name(self) -> str:
        """Name of the JSON schema asked for; empty for free text."""
        wanted = self.body.get("response_format") or {}
        return str(wanted.get("json_schema", {}).get("name", ""))

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON schema asked for; empty for free text."""
        wanted = self.body.get("response_format") or {}
        found: dict[str, Any] = wanted.get("json_schema", {}).get("schema", {})
        return found


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the server answers: a completion, or any other HTTP answer.

    Attributes:
        text: Content of the assistant's message.
        refusal: Refusal text; the content is null then.
        finish_reason: ``stop``, ``length`` or ``content_filter``.
        status: HTTP status; anything but 200 sends an error object.
        headers: Further headers, e.g. ``{"Retry-After": "0"}``.
        body: Raw body instead of a completion, e.g. broken JSON.
        delay_s: Time to wait before answering.
        usage: Whether to report token counts.
    """

    text: str = ""
    refusal: str | None = None
    finish_reason: str = "stop"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    delay_s: float = 0.0
    usage: bool = True


def as_json(document: Any) -> Answer:
    """A completion whose content is this JSON document."""
    return Answer(text=json.dumps(document))


def count_tokens(text: str) -> int:
    """Tokens as this server counts them: words."""
    return len(text.split())


class ChatServer:
    """The server; a context manager.

    Attributes:
        reply: Function from a request to the answer; may be set at any time.
        connections: Number of TCP connections accepted so far.
        requests: Every request received so far.
        most_concurrent: Largest number of requests that were under way at a time.
    """

    def __init__(self, reply: Callable[[ChatRequest], Answer] | None = None, port: int = 0) -> None:
        self.reply = reply or (lambda request: Answer(text="ok"))
        self.connections = 0
        self.requests: list[ChatRequest] = []
        self.most_concurrent = 0
        self._under_way = 0
        self._lock = threading.Lock()
        self._http = _HTTPServer(("127.0.0.1", port), _Handler)
        self._http.chat = self
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)

    @property
    def port(self) -> int:
        return int(self._http.server_address[1])

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def __enter__(self) -> "ChatServer":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    def wait(self) -> None:
        """Serves until interrupted."""
        self._thread.join()

    def connected(self) -> None:
        with self._lock:
            self.connections += 1

    def answer(self, request: ChatRequest) -> Answer:
        with self._lock:
            self.requests.append(request)
            self._under_way += 1
            self.most_concurrent = max(self.most_concurrent, self._under_way)
        try:
            answer = self.reply(request)
            time.sleep(answer.delay_s)
            return answer
        finally:
            with self._lock:
                self._under_way -= 1


class _HTTPServer(ThreadingMixIn, HTTPServer):
    daemon_threads = True
    request_queue_size = 512
    chat: ChatServer

    def get_request(self) -> Any:
        accepted = super().get_request()
        self.chat.connected()
        return accepted

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A client that goes away in the middle (a killed run) is part of what is tested.
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _HTTPServer

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers["Content-Length"]))
        if len(raw) < int(self.headers["Content-Length"]):
            raise ConnectionAbortedError("the client went away while it was sending")
        body = json.loads(raw)
        request = ChatRequest(body=body, headers={k.lower(): v for k, v in self.headers.items()})
        if not self.path.endswith("/chat/completions"):
            self._send(404, {}, json.dumps({"error": {"message": "no such path"}}).encode())
            return
        answer = self.server.chat.answer(request)
        self._send(answer.status, answer.headers, _body(request, answer))

    def do_GET(self) -> None:
        listing = {"object": "list", "data": [{"id": "demo", "object": "model"}]}
        self._send(200, {}, json.dumps(listing).encode())

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def _body(request: ChatRequest, answer: Answer) -> bytes:
    if answer.body is not None:
        return answer.body
    if answer.status != 200:
        return json.dumps({"error": {"message": "as programmed", "code": None}}).encode()
    message = {
        "role": "assistant",
        "content": None if answer.refusal else answer.text,
        "refusal": answer.refusal,
    }
    tokens_in = count_tokens(request.system) + count_tokens(request.user)
    tokens_out = count_tokens(answer.text)
    completion = {
        "id": "chatcmpl-loopback",
        "object": "chat.completion",
        "created": 0,
        "model": f"{request.body['model']}-loopback",
        "choices": [{"index": 0, "message": message, "finish_reason": answer.finish_reason}],
    }
    if answer.usage:
        completion["usage"] = {
            "prompt_tokens": tokens_in,
            "completion_tokens": tokens_out,
            "total_tokens": tokens_in + tokens_out,
        }
    return json.dumps(completion).encode()


def main() -> None:
    from demo_replies import demo_reply

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=8123)
    arguments = parser.parse_args()
    with ChatServer(demo_reply, arguments.port) as server:
        sys.stderr.write(f"answering with demo replies at {server.base_url}; Ctrl-C ends it\n")
        try:
            server.wait()
        except KeyboardInterrupt:
            sys.stderr.write(f"{len(server.requests)} requests answered\n")


if __name__ == "__main__":
    main()
