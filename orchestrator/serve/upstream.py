"""Connections to the model's endpoint.

httpx's pool scans all its connections at every call, and loses some when calls are cancelled;
pyreqwest, the workers' transport, cannot end a call before its answer begins, which would be paid
for nobody. So: httpcore's connections, one call each at a time, and a stack of the idle ones.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import httpcore
import httpx

from orchestrator.serve.network import Network

_CONNECT_TIMEOUT_S = 10.0
# Below what servers and balancers keep idle connections for.
_IDLE_S = 30.0
_MAX_IDLE = 1024


class Upstream:
    """The chat endpoint below one base address. For one event loop."""

    def __init__(self, base_url: str, timeout_s: float) -> None:
        """``base_url`` as ``shared.settings`` checks it; ``timeout_s`` between two parts."""
        self.base_url = base_url
        self._url = httpcore.URL(f"{base_url}/chat/completions")
        self._host = urlsplit(base_url).netloc.encode()
        self._trusted = httpx.create_ssl_context()
        self._network = Network()
        self._idle: list[httpcore.AsyncHTTPConnection] = []
        self._timeouts = {
            "connect": _CONNECT_TIMEOUT_S,
            "read": timeout_s,
            "write": timeout_s,
            "pool": None,
        }

    @asynccontextmanager
    async def answer(
        self, headers: list[tuple[bytes, bytes]], body: bytes
    ) -> AsyncIterator[httpcore.Response]:
        """The answer to a POST, its head read; leaving the block early ends the call.

        Raises what httpcore raises. Its messages may quote headers: never show them.
        """
        request = httpcore.Request(
            "POST",
            self._url,
            headers=[(b"Host", self._host), *headers, (b"Content-Length", b"%d" % len(body))],
            content=body,
            extensions={"timeout": self._timeouts},
        )
        connection = await self._connection()
        try:
            response = await connection.handle_async_request(request)
            try:
                yield response
            finally:
                await response.aclose()
        finally:
            if connection.is_available() and len(self._idle) < _MAX_IDLE:
                self._idle.append(connection)
            else:
                await connection.aclose()

    async def aclose(self) -> None:
        """Close the idle connections."""
        while self._idle:
            await self._idle.pop().aclose()

    async def _connection(self) -> httpcore.AsyncHTTPConnection:
        while self._idle:
            connection = self._idle.pop()
            if not connection.has_expired():
                return connection
            await connection.aclose()
        return httpcore.AsyncHTTPConnection(
            self._url.origin,
            ssl_context=self._trusted,
            keepalive_expiry=_IDLE_S,
            network_backend=self._network,
        )
