"""HTTP/1.1 on the writing side: an answer in full, or broken in a chosen way."""

import asyncio
import json
import socket
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import Any

from orchestrator.standin.settings import Settings

REASONS = {status.value: status.phrase for status in HTTPStatus} | {
    524: "A Timeout Occurred",
    529: "Site is overloaded",
}
JSON_TYPE = "application/json"
HTML_TYPE = "text/html; charset=UTF-8"
SSE_TYPE = "text/event-stream"
#: Seconds between two looks at whether a slow answer may go out.
LOOK_S = 0.02


class Delivery(StrEnum):
    """How an answer goes over the wire."""

    #: Whole, with its length.
    PLAIN = "plain"
    #: In pieces, as they come.
    PIECES = "pieces"
    #: A blank line now and then, and the answer at the end.
    DRIP = "drip"
    #: Nothing for a while, then whole.
    SLOW = "slow"
    #: Half of what was announced, then the end of the connection.
    SHORT = "short"
    #: The connection is reset.
    RESET = "reset"


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer on its way to the wire."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    content_type: str = JSON_TYPE
    delivery: Delivery = Delivery.PLAIN
    pieces: tuple[bytes, ...] = ()


def json_reply(
    content: Mapping[str, Any], status: int = 200, headers: tuple[tuple[str, str], ...] = ()
) -> Reply:
    """An answer in JSON."""
    return Reply(status, json.dumps(content, separators=(",", ":")).encode(), headers)


async def hold_back(reply: Reply, settings: Callable[[], Settings]) -> None:
    """Wait before an answer that is slow, until its time is over by the settings of each moment:
    with ``slow_s`` = 0 all that wait go out."""
    clock = asyncio.get_running_loop().time
    began = clock()
    while reply.delivery is Delivery.SLOW and (left := began + settings().slow_s - clock()) > 0:
        await asyncio.sleep(min(left, LOOK_S))


async def send(
    writer: asyncio.StreamWriter, reply: Reply, settings: Settings, keep_alive: bool
) -> bool:
    """Send an answer; whether the connection can serve another request."""
    match reply.delivery:
        case Delivery.RESET:
            _reset(writer)
            return False
        case Delivery.SHORT:
            writer.write(_head(reply, False, len(reply.body)) + reply.body[: len(reply.body) // 2])
            await writer.drain()
            return False
        case Delivery.DRIP:
            await _drip(writer, reply, settings, keep_alive)
            return keep_alive
        case Delivery.PIECES:
            await _pieces(writer, reply, keep_alive)
            return keep_alive
        case Delivery.PLAIN | Delivery.SLOW:
            pass
    writer.write(_head(reply, keep_alive, len(reply.body)) + reply.body)
    await writer.drain()
    return keep_alive


def _head(reply: Reply, keep_alive: bool, length: int | None) -> bytes:
    lines = [
        f"HTTP/1.1 {reply.status} {REASONS.get(reply.status, 'Unknown')}",
        f"Content-Type: {reply.content_type}",
        "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}",
        f"Connection: {'keep-alive' if keep_alive else 'close'}",
        *(f"{name}: {value}" for name, value in reply.headers),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


async def _pieces(writer: asyncio.StreamWriter, reply: Reply, keep_alive: bool) -> None:
    writer.write(_head(reply, keep_alive, None))
    for piece in reply.pieces:
        writer.write(_chunk(piece))
        await writer.drain()
    writer.write(_chunk(b""))
    await writer.drain()


async def _drip(
    writer: asyncio.StreamWriter, reply: Reply, settings: Settings, keep_alive: bool
) -> None:
    clock = asyncio.get_running_loop().time
    writer.write(_head(reply, keep_alive, None))
    end = clock() + settings.drip_s
    while (left := end - clock()) > 0:
        writer.write(_chunk(b"\n"))
        await writer.drain()
        await asyncio.sleep(min(settings.drip_every_s, left))
    writer.write(_chunk(reply.body) + _chunk(b""))
    await writer.drain()


def _chunk(piece: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(piece), piece)


def _reset(writer: asyncio.StreamWriter) -> None:
    connection: socket.socket = writer.get_extra_info("socket")
    # To linger for no time at all is what turns a close into a reset.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
