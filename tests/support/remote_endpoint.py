"""A hosted endpoint without a network: https for the client, the loopback server behind it."""

from typing import Any

import httpx2
import openai
import pytest
from chat_server import ChatServer

REMOTE = "https://api.example.org/v1"


class _Rerouted(httpx2.AsyncHTTPTransport):
    """Carries requests for `REMOTE` to a server on this machine, and no others."""

    def __init__(self, server: ChatServer) -> None:
        super().__init__(trust_env=False)
        self._server = server

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        assert (request.url.scheme, request.url.host) == ("https", "api.example.org")
        request.url = request.url.copy_with(scheme="http", host="127.0.0.1", port=self._server.port)
        return await super().handle_async_request(request)


def reroute(server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> str:
    """Puts `server` behind `REMOTE` for every client made from now on; returns `REMOTE`."""
    original = openai.DefaultAsyncHttpxClient

    def made(**options: Any) -> httpx2.AsyncClient:
        # As a mount, it yields to a proxy, should the client use one of the environment.
        return original(mounts={"all://": _Rerouted(server)}, **options)

    monkeypatch.setattr(openai, "DefaultAsyncHttpxClient", made)
    return REMOTE
