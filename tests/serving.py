"""``orchestrator serve`` on a thread of the test's process, for tests with synchronous clients."""

import asyncio
import json
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

import httpx

from orchestrator.serve.bills import Bills
from orchestrator.serve.desk import Desk, Keys
from orchestrator.serve.planner import Planner
from orchestrator.serve.server import serving
from orchestrator.serve.upstream import Upstream
from orchestrator.standin import DEFAULT_KEY
from orchestrator.trained import Policy
from tests import loopback
from tests.processes import PATIENCE_S
from tests.standin_calls import MODEL

if TYPE_CHECKING:
    from openai import OpenAI

T = TypeVar("T")
PLANNED = "Explain how a qubit differs from a bit"
#: Names no domain.
UNKNOWN = "Say hello"
COMPLETION = {
    "id": "gen-1",
    "object": "chat.completion",
    "created": 1,
    "model": MODEL,
    "choices": [
        {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hi."}}
    ],
}


#: The head of a stream, and one event of it.
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
EVENT = b'data: {"choices": [{"delta": {"content": "x"}}]}\n\n'


class Served(NamedTuple):
    """A server that listens."""

    base_url: str
    desk: Desk
    #: Its access lines.
    lines: list[str]

    def client(self, api_key: str = "concept-grpo", retries: int = 0) -> "OpenAI":
        """The official client."""
        from openai import OpenAI

        return OpenAI(api_key=api_key, base_url=self.base_url, max_retries=retries, timeout=10)


class Between(NamedTuple):
    """A server in front of an endpoint that behaves as told."""

    served: Served
    endpoint: loopback.Server

    def received(self) -> tuple[dict[str, str], dict[str, object]]:
        """Headers and fields of the last request at the endpoint."""
        last = self.endpoint.received[-1]
        return last.headers, json.loads(last.body)


@contextmanager
def served(
    policy: Policy,
    upstream: str,
    *,
    keys: Keys | None = None,
    max_inflight: int = 256,
    timeout_s: float = 10,
    bills: Bills | None = None,
) -> Iterator[Served]:
    """A server in front of ``upstream``, until the end of the block."""

    @asynccontextmanager
    async def serve() -> AsyncIterator[Served]:
        lines: list[str] = []
        desk = _desk(policy, upstream, lines, keys, max_inflight, timeout_s, bills)
        async with serving(desk, "127.0.0.1", 0) as server:
            yield Served(server.base_url, desk, lines)

    with on_a_thread(serve) as found:
        yield found


@contextmanager
def between(
    policy: Policy,
    behave: loopback.Behave,
    *,
    keys: Keys | None = None,
    timeout_s: float = 10,
    bills: Bills | None = None,
) -> Iterator[Between]:
    """A server in front of an endpoint that behaves as told, both until the end of the block."""

    def start() -> AbstractAsyncContextManager[loopback.Server]:
        return loopback.serving(behave)

    with (
        on_a_thread(start) as endpoint,
        served(policy, endpoint.url, keys=keys, timeout_s=timeout_s, bills=bills) as found,
    ):
        yield Between(found, endpoint)


@contextmanager
def on_a_thread(start: Callable[[], AbstractAsyncContextManager[T]]) -> Iterator[T]:
    """What ``start`` gives, on a loop of its own."""
    began: Future[T] = Future()
    loops: list[asyncio.AbstractEventLoop] = []
    stop = asyncio.Event()

    async def run() -> None:
        loops.append(asyncio.get_running_loop())
        async with start() as found:
            began.set_result(found)
            await stop.wait()

    def thread_of_its_own() -> None:
        try:
            asyncio.run(run())
        except BaseException as error:
            if began.done():
                raise
            began.set_exception(error)

    thread = threading.Thread(target=thread_of_its_own, daemon=True)
    thread.start()
    try:
        yield began.result(timeout=PATIENCE_S)
    finally:
        if loops:
            loops[0].call_soon_threadsafe(stop.set)
        thread.join(PATIENCE_S)


def _desk(
    policy: Policy,
    upstream: str,
    lines: list[str],
    keys: Keys | None,
    max_inflight: int,
    timeout_s: float,
    bills: Bills | None,
) -> Desk:
    return Desk(
        planner=Planner(policy, MODEL, greedy=True, seed=None, follow_ups=False),
        upstream=Upstream(upstream, timeout_s),
        keys=keys or Keys(endpoint=DEFAULT_KEY),
        models=("concept-grpo", MODEL),
        policy_version=policy.document.policy_version,
        max_inflight=max_inflight,
        timeout_s=timeout_s,
        log=lines.append,
        bills=bills or Bills(),
    )


def body(text: str = PLANNED, **fields: Any) -> bytes:
    return json.dumps({"messages": [{"role": "user", "content": text}], **fields}).encode()


def post(
    server: Served, sent: bytes, path: str = "/v1/chat/completions", **headers: str
) -> httpx.Response:
    """A request without any client of the API."""
    url = server.base_url.removesuffix("/v1") + path
    return httpx.post(url, content=sent, headers=headers, timeout=10, trust_env=False)


@contextmanager
def calling(server: Served, **fields: Any) -> Iterator[None]:
    """A caller who has sent a request and reads nothing, and hangs up at the end of the block."""
    place = urlsplit(server.base_url)
    sent = body(**fields)
    asked = "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost"
    head = f"{asked}\r\nContent-Length: {len(sent)}\r\n\r\n"
    with socket.create_connection((place.hostname, place.port)) as caller:
        caller.sendall(head.encode() + sent)
        yield


def chunk(part: bytes) -> bytes:
    """Of a body whose length nobody knows yet."""
    return b"%x\r\n%s\r\n" % (len(part), part)


class Silent:
    """Takes requests and never answers; knows who has hung up."""

    def __init__(self) -> None:
        self.url = ""
        self.asked = 0
        self.hung_up = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        self.asked += 1
        while await reader.read(65536):
            pass
        self.hung_up += 1
        writer.close()


@asynccontextmanager
async def silent() -> AsyncIterator[Silent]:
    found = Silent()
    listener = await asyncio.start_server(found.serve, "127.0.0.1", 0)
    found.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/v1"
    try:
        yield found
    finally:
        listener.close()
