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
from shared.errors import UsageError
from shared.wire.proxies import proxy_for

_CONNECT_TIMEOUT_S = 10.0
# Below what servers and balancers keep idle connections for.
_IDLE_S = 30.0
_MAX_IDLE = 1024


class Upstream:
    """The chat endpoint below one base address. For one event loop."""

    def __init__(self, base_url: str, timeout_s: float) -> None:
        """``base_url`` as ``shared.settings`` checks it; ``timeout_s`` between two parts.

        Raises UsageError for a proxy of the environment that cannot be one.
        """
        self.base_url = base_url
        self._url = httpcore.URL(f"{base_url}/chat/completions")
        self._host = urlsplit(base_url).netloc.encode()
        self._way = _way(base_url)
        self._idle: list[httpcore.AsyncConnectionInterface] = []
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

    async def _connection(self) -> httpcore.AsyncConnectionInterface:
        while self._idle:
            connection = self._idle.pop()
            if not connection.has_expired():
                return connection
            await connection.aclose()
        return self._way.create_connection(self._url.origin)


def _way(base_url: str) -> httpcore.AsyncConnectionPool:
    """A pool of httpcore that is used for nothing but making connections: directly, or by a proxy.

    A proxy at an https address is trusted by the same certificates as the endpoint.
    """
    trusted, network = httpx.create_ssl_context(), Network()
    proxy = proxy_for(base_url)
    if proxy is None:
        return httpcore.AsyncConnectionPool(
            ssl_context=trusted, keepalive_expiry=_IDLE_S, network_backend=network
        )
    if proxy.url.startswith("socks"):
        raise UsageError(
            f"serve goes through HTTP proxies only, and the environment names {proxy.url}; set"
            " HTTPS_PROXY to an http address, or put the endpoint's host into NO_PROXY"
        )
    return httpcore.AsyncHTTPProxy(
        proxy.url,
        proxy_auth=proxy.login,
        ssl_context=trusted,
        proxy_ssl_context=httpx.create_ssl_context() if proxy.url.startswith("https") else None,
        keepalive_expiry=_IDLE_S,
        network_backend=network,
    )
