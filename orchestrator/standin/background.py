"""A stand-in on a thread of its own, for tests and for demos in one process."""

import asyncio
import json
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from http.client import HTTPConnection
from typing import Any

from orchestrator.standin.server import HOST, serving
from orchestrator.standin.settings import Settings


class Running:
    """A stand-in that runs, seen from outside: its addresses and its control API."""

    def __init__(self, port: int, base_url: str) -> None:
        self.port = port
        #: What OPENROUTER_BASE_URL is to be.
        self.base_url = base_url

    def control(self, name: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """GET a control, or POST to it if there is a body. Raises ValueError if it refuses."""
        connection = HTTPConnection(HOST, self.port, timeout=10)
        try:
            sent = None if body is None else json.dumps(body)
            method = "GET" if body is None else "POST"
            connection.request(method, f"/_control/{name}", sent, {"X-Control": "1"})
            response = connection.getresponse()
            found: dict[str, Any] = json.loads(response.read())
        finally:
            connection.close()
        if response.status != 200:
            raise ValueError(found["error"]["message"])
        return found


@contextmanager
def running(settings: Settings | None = None, port: int = 0) -> Iterator[Running]:
    """A stand-in that answers until the end of the block. Raises OSError if the port is taken."""
    started: Future[Running] = Future()
    stop = asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def serve() -> None:
        loops.append(asyncio.get_running_loop())
        async with serving(settings or Settings(), port) as server:
            started.set_result(Running(server.port, server.base_url))
            await stop.wait()

    def run() -> None:
        try:
            asyncio.run(serve())
        except OSError as error:
            if started.done():
                raise
            started.set_exception(error)

    thread = threading.Thread(target=run, name="stand-in", daemon=True)
    thread.start()
    found = started.result(timeout=10)
    try:
        yield found
    finally:
        loops[0].call_soon_threadsafe(stop.set)
        thread.join(timeout=10)
