"""A server on loopback that misbehaves as told, for the tests of clients."""

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NamedTuple


class Request(NamedTuple):
    line: str
    headers: dict[str, str]
    body: bytes


Behave = Callable[[asyncio.StreamWriter, Request], Awaitable[None]]


class Server:
    """Reads whole requests, then behaves as told."""

    def __init__(self, behave: Behave) -> None:
        self.behave = behave
        self.url = ""
        self.received: list[Request] = []
        self.connections = 0
        self.hung_up = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                pairs = (line.split(": ", 1) for line in head[1:] if line)
                headers = {key.lower(): value for key, value in pairs}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                self.received.append(Request(head[0], headers, body))
                await self.behave(writer, self.received[-1])
        except (OSError, asyncio.IncompleteReadError):
            self.hung_up.set()
        finally:
            writer.transport.abort()


@contextlib.asynccontextmanager
async def serving(behave: Behave, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    server = Server(behave)
    running: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        running.add(asyncio.create_task(server.serve(reader, writer)))

    listener = await asyncio.start_server(connected, "127.0.0.1", 0, backlog=1024, ssl=tls)
    server.url = (
        f"http{'s' if tls else ''}://127.0.0.1:{listener.sockets[0].getsockname()[1]}/api/v1"
    )
    try:
        yield server
    finally:
        listener.close()
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        # The sockets close in the loop's next turn.
        await asyncio.sleep(0)


def response(
    body: bytes, status: str = "200 OK", length: int | None = None, head: str = ""
) -> bytes:
    size = len(body) if length is None else length
    return f"HTTP/1.1 {status}\r\nContent-Length: {size}\r\n{head}\r\n".encode() + body


def sends(raw: bytes, hang_up: bool = False) -> Behave:
    async def behave(writer: asyncio.StreamWriter, request: Request) -> None:
        writer.write(raw)
        await writer.drain()
        if hang_up:
            raise ConnectionResetError

    return behave


async def never_answers(writer: asyncio.StreamWriter, request: Request) -> None:
    await asyncio.sleep(60)


async def drips(writer: asyncio.StreamWriter, request: Request) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while True:
        writer.write(b"\n")
        await writer.drain()
        await asyncio.sleep(0.02)


async def resets(writer: asyncio.StreamWriter, request: Request) -> None:
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    raise ConnectionResetError


async def floods(writer: asyncio.StreamWriter, request: Request) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
    while True:
        writer.write(b"x" * 65536)
        await writer.drain()
