"""The sockets under httpcore, on asyncio's own streams.

A request's head and body leave in one write, which httpcore's default gives to the system as two;
and nothing is between httpcore and the loop. Both are felt where a request costs a millisecond.
"""

import asyncio
import ssl
from collections.abc import Iterable
from typing import Any

import httpcore

_NEXT_ADDRESS_S = 0.25


class Network(httpcore.AsyncNetworkBackend):
    """Opens connections."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """A connection; of the last two arguments nothing is wanted here."""
        try:
            async with asyncio.timeout(timeout):
                return _Stream(
                    *await asyncio.open_connection(host, port, happy_eyeballs_delay=_NEXT_ADDRESS_S)
                )
        except TimeoutError:
            raise httpcore.ConnectTimeout from None
        except OSError:
            raise httpcore.ConnectError from None


class _Stream(httpcore.AsyncNetworkStream):
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._unsent = bytearray()

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Keep it until an answer is waited for."""
        self._unsent += buffer

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        try:
            async with asyncio.timeout(timeout):
                if self._unsent:
                    self._writer.write(self._unsent)
                    self._unsent = bytearray()
                    await self._writer.drain()
                return await self._reader.read(max_bytes)
        except TimeoutError:
            raise httpcore.ReadTimeout from None
        except OSError:
            raise httpcore.ReadError from None

    async def aclose(self) -> None:
        """At once: a farewell of TLS could take as long as the other side likes."""
        self._writer.transport.abort()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.AsyncNetworkStream:
        try:
            async with asyncio.timeout(timeout):
                await self._writer.start_tls(ssl_context, server_hostname=server_hostname)
        except TimeoutError:
            self._writer.transport.abort()
            raise httpcore.ConnectTimeout from None
        except OSError:
            self._writer.transport.abort()
            raise httpcore.ConnectError from None
        return self

    def get_extra_info(self, info: str) -> Any:
        if info == "is_readable":
            # While nothing is asked, the only thing to read is that the other side has gone.
            return self._reader.at_eof() or self._writer.is_closing()
        return self._writer.get_extra_info(info)
