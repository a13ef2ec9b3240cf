"""The server: sockets, which path leads where, and an end that cuts nobody off."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import tornado.web
from tornado.httpserver import HTTPServer

from orchestrator.serve.chat import LARGEST_BODY, Chat
from orchestrator.serve.desk import Desk
from orchestrator.serve.handlers import Handler, Health, Metrics, Models, NoSuchPath
from shared.errors import EnvironmentNotReady

_BACKLOG = 1024
_IDLE_S = 300.0
# For the body of one request to arrive.
_BODY_S = 120.0
# So that what is too large is still read, and refused in words.
_CUT_OFF = 32 * LARGEST_BODY


@dataclass(frozen=True)
class Server:
    """A server that listens. Made by ``serving``."""

    desk: Desk
    host: str
    port: int
    _http: HTTPServer

    @property
    def base_url(self) -> str:
        """What OPENAI_BASE_URL is to be."""
        shown = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{shown}:{self.port}/v1"

    async def drained(self, at_once: asyncio.Event) -> None:
        """Take no more requests, and wait until those under way have ended, or for ``at_once``."""
        self._http.stop()
        self.desk.draining = True
        waiting = [asyncio.create_task(each) for each in (self.desk.emptied(), at_once.wait())]
        _, left = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in left:
            task.cancel()


@asynccontextmanager
async def serving(desk: Desk, host: str, port: int) -> AsyncIterator[Server]:
    """A server on ``host``:``port``; 0: a free port. Inside, ``desk`` has it to itself.

    At the end it stops at once; wait for ``drained`` before that. Raises EnvironmentNotReady if it
    cannot listen.
    """
    listening = _listening(host, port)
    server = HTTPServer(
        _application(desk),
        max_body_size=_CUT_OFF,
        idle_connection_timeout=_IDLE_S,
        body_timeout=_BODY_S,
    )
    server.add_socket(listening)
    try:
        yield Server(desk, host, listening.getsockname()[1], server)
    finally:
        server.stop()
        await server.close_all_connections()
        await desk.upstream.aclose()


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        # Of a name that cannot be encoded, create_server leaves an open socket.
        host.encode("idna")
        # tornado's bind_sockets leaves the socket of a failure to the garbage collector.
        found = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except (OSError, UnicodeError) as error:
        said = error.strerror if isinstance(error, OSError) else "no host can have this name"
        why = (said or str(error)).partition(" (while")[0]
        raise EnvironmentNotReady(
            f"cannot listen on {host}:{port}: {why}; --port 0 takes a free one"
        ) from None
    found.setblocking(False)
    return found


class Signals:
    """SIGINT and SIGTERM while a server runs."""

    def __init__(self) -> None:
        """Takes the signals of the running loop."""
        self.first = 0
        self.came = asyncio.Event()
        self.again = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self._note, number)

    def _note(self, number: signal.Signals) -> None:
        if self.came.is_set():
            self.again.set()
        self.first = self.first or number
        self.came.set()


def _application(desk: Desk) -> tornado.web.Application:
    shared = {"desk": desk}
    return tornado.web.Application(
        [
            (r"(?:/v1)?/chat/completions", Chat, shared),
            (r"(?:/v1)?/models", Models, shared),
            (r"/health", Health, shared),
            (r"/metrics", Metrics, shared),
        ],
        default_handler_class=NoSuchPath,
        default_handler_args=shared,
        log_function=_logged(desk.log),
    )


def _logged(log: Callable[[str], None]) -> Callable[[Handler], None]:
    def one(handler: Handler) -> None:
        # A closed standard error is no reason to fail a request.
        with contextlib.suppress(OSError):
            log(handler.access_line())

    return one
