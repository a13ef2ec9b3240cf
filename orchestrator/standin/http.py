"""HTTP/1.1 on the reading side: just enough of it, with limits, and strict."""

import asyncio
from typing import NamedTuple
from urllib.parse import parse_qsl, urlsplit

MAX_HEAD = 32 * 1024
MAX_BODY = 4 * 1024 * 1024
#: A connection on which nothing is asked for so long is closed.
IDLE_S = 120.0
TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


class Request(NamedTuple):
    """What was asked."""

    method: str
    path: str
    query: dict[str, str]
    #: Names in lower case.
    headers: dict[str, str]
    body: bytes
    keep_alive: bool


class BadHttp(Exception):
    """Not a request this server reads; the connection ends after the answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(status, message)
        self.status = status
        self.message = message


async def read_request(reader: asyncio.StreamReader) -> Request | None:
    """The next request of a connection; None at its end."""
    try:
        async with asyncio.timeout(IDLE_S):
            head = await reader.readuntil(b"\r\n\r\n")
            request = _parsed(head)
            length = _length(request.headers)
            return request._replace(body=await reader.readexactly(length)) if length else request
    except asyncio.LimitOverrunError:
        raise BadHttp(431, "Request header fields too large") from None
    except (asyncio.IncompleteReadError, ConnectionError, TimeoutError):
        return None


def _parsed(head: bytes) -> Request:
    if len(head) > MAX_HEAD:
        raise BadHttp(431, "Request header fields too large")
    try:
        first, *lines = head[:-4].decode("latin-1").split("\r\n")
        method, target, version = first.split(" ")
        parts = urlsplit(target)
    except ValueError:
        raise BadHttp(400, "Malformed request line") from None
    if version not in ("HTTP/1.1", "HTTP/1.0"):
        raise BadHttp(505, "HTTP version not supported")
    headers = _headers(lines)
    connection = headers.get("connection", "").lower()
    keep_alive = "close" not in connection if version == "HTTP/1.1" else "keep-alive" in connection
    query = dict(parse_qsl(parts.query, keep_blank_values=True)) if parts.query else {}
    return Request(method, parts.path, query, headers, b"", keep_alive)


def _headers(lines: list[str]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or not TOKEN.issuperset(name):
            raise BadHttp(400, "Malformed header line")
        name = name.lower()
        # Two lengths in one message are how requests are smuggled.
        if name == "content-length" and name in headers:
            raise BadHttp(400, "Repeated Content-Length")
        headers[name] = value.strip(" \t")
    return headers


def _length(headers: dict[str, str]) -> int:
    if "transfer-encoding" in headers:
        raise BadHttp(411, "Length required: send Content-Length, not chunks")
    given = headers.get("content-length", "0")
    if not (given.isascii() and given.isdigit()):
        raise BadHttp(400, "Content-Length is not a number")
    length = int(given[:20])
    if length > MAX_BODY:
        raise BadHttp(413, "Request payload too large")
    return length
