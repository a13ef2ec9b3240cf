"""The server: connections on loopback, and which path leads where."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from orchestrator.standin import account, chat, control
from orchestrator.standin.catalog import listing
from orchestrator.standin.desk import Desk
from orchestrator.standin.faults.errors import Circumstances, Refusal, error_reply, refusal
from orchestrator.standin.http import MAX_HEAD, BadHttp, Request, read_request
from orchestrator.standin.settings import Settings
from orchestrator.standin.wire import Reply, hold_back, json_reply, send

HOST = "127.0.0.1"
#: What a request may call it: a page can have a name of its own lead here, but not one of these.
NAMES = (HOST, "localhost", "[::1]")
PREFIX = "/api/v1"
CHAT = f"{PREFIX}/chat/completions"
BACKLOG = 1024


@dataclass(slots=True)
class Server:
    """A stand-in that listens. Made by ``serving``."""

    desk: Desk
    port: int = 0
    _connections: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def base_url(self) -> str:
        """What OPENROUTER_BASE_URL is to be."""
        return f"http://{HOST}:{self.port}{PREFIX}"

    def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a connection until one side ends it."""
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def disconnect(self) -> None:
        """End all connections."""
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._serve_one(reader, writer):
                pass
        except (ConnectionError, TimeoutError):
            # The client went away; what it asked for is done and billed.
            pass
        finally:
            writer.close()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        try:
            request = await read_request(reader)
        except BadHttp as bad:
            content = {"error": {"code": bad.status, "message": bad.message}}
            await send(writer, json_reply(content, bad.status), self.desk.settings, False)
            return False
        if request is None:
            return False
        if why := _from_a_web_page(request):
            content = {"error": {"code": 403, "message": why}}
            await send(writer, json_reply(content, 403), self.desk.settings, False)
            return False
        if request.path == CHAT and request.method == "POST":
            return await self._chat(request, writer)
        return await send(writer, self._reply(request), self.desk.settings, request.keep_alive)

    async def _chat(self, request: Request, writer: asyncio.StreamWriter) -> bool:
        received = self.desk.memory.received
        exchange = received.begin()
        try:
            reply = await chat.reply_to(request, exchange, self.desk)
            received.answered(exchange, reply.status)
            await hold_back(reply, lambda: self.desk.settings)
            return await send(writer, reply, self.desk.settings, request.keep_alive)
        finally:
            received.end(exchange)

    def _reply(self, request: Request) -> Reply:
        if request.path.startswith(control.PREFIX):
            return control.controlled(request, self.desk)
        route = ROUTES.get(request.path) if request.method == "GET" else None
        if route is None:
            return error_reply("no_route", Circumstances())
        try:
            return route(request, self.desk)
        except Refusal as refused:
            return refused.reply


def _from_a_web_page(request: Request) -> str | None:
    """Why a request is refused that a browser may have sent for a page from elsewhere."""
    if "origin" in request.headers:
        return "web pages may not call this server: it is for programs on this machine"
    name = request.headers.get("host", HOST).rpartition(":")
    if (name[0] or name[2]).lower() not in NAMES:
        return f"this server is {HOST} and has no other name"
    return None


def _models(request: Request, desk: Desk) -> Reply:
    wanted = request.query.get("supported_parameters", "")
    return Reply(200, listing(wanted, desk.settings.malformed_prices))


def _key(request: Request, desk: Desk) -> Reply:
    chat.authorized(request, desk.settings)
    return json_reply(account.key(desk))


def _credits(request: Request, desk: Desk) -> Reply:
    chat.authorized(request, desk.settings)
    return json_reply(account.credit(desk))


def _generation(request: Request, desk: Desk) -> Reply:
    chat.authorized(request, desk.settings)
    name, lag_s = request.query.get("id", ""), desk.settings.generation_lag_s
    found = desk.memory.ledger.generation(name, lag_s)
    if found is None:
        raise refusal("no_generation")
    return json_reply(found)


ROUTES: Mapping[str, Callable[[Request, Desk], Reply]] = {
    f"{PREFIX}/models": _models,
    f"{PREFIX}/key": _key,
    f"{PREFIX}/auth/key": _key,
    f"{PREFIX}/credits": _credits,
    f"{PREFIX}/generation": _generation,
}


@asynccontextmanager
async def serving(settings: Settings, port: int = 0) -> AsyncIterator[Server]:
    """A stand-in on a port of 127.0.0.1; 0: a free one. Raises OSError if the port is taken."""
    server = Server(Desk(settings))
    listening = await asyncio.start_server(
        server.connected, HOST, port, limit=MAX_HEAD, backlog=BACKLOG
    )
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        await server.disconnect()
