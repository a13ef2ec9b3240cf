"""POST /v1/chat/completions, from the head of the request to the last byte of the answer."""

import asyncio

from tornado.iostream import StreamClosedError

from orchestrator.serve.bills import Charge
from orchestrator.serve.desk import Desk
from orchestrator.serve.errors import Refused
from orchestrator.serve.handlers import Handler
from orchestrator.serve.planner import HEADER, Outgoing
from orchestrator.serve.relay import Call, relay, sent_on

#: Bytes that a request may have; a picture in it takes some millions.
LARGEST_BODY = 32 * 2**20
#: Bytes of a stream that may wait for a caller who reads slowly.
UNSENT = 2**16
#: What nginx writes into its log for a caller who did not wait.
GONE = 499


class Chat(Handler):
    """A refusal waits for the end of the body: a caller who is cut off while sending reads none."""

    def initialize(self, desk: Desk) -> None:
        super().initialize(desk)
        self._body, self._received = bytearray(), 0
        self._work: asyncio.Task[None] | None = None
        self._sending: asyncio.Task[None] | None = None
        self._unsent, self._aborted = 0, False
        self._refused: Refused | None = None
        self._inside = False

    def prepare(self) -> None:
        """Take a place; its bounds hold for what is kept of the bodies too."""
        if self.request.method != "POST":
            # Refused by tornado, and nobody would give the place back.
            return
        try:
            self.checked()
            self.desk.enter()
            self._inside = True
        except Refused as refused:
            self._refused = refused

    def data_received(self, chunk: bytes) -> None:
        """A part of the body."""
        self._received += len(chunk)
        if self._inside and self._received <= LARGEST_BODY:
            self._body += chunk

    async def post(self) -> None:
        """The body is there."""
        self._work = asyncio.create_task(self._answered())
        try:
            await self._work
        except (asyncio.CancelledError, StreamClosedError):
            if not self._aborted:
                self.set_status(GONE, "Client Closed Request")
                self.note = f"{self.note} (the caller went away)".lstrip()
        finally:
            if self._sending is not None:
                self._sending.cancel()
            self._leave()

    def on_connection_close(self) -> None:
        """The caller is gone: nobody pays for an answer that nobody reads."""
        super().on_connection_close()
        if self._work is None:
            self._leave()
        else:
            self._work.cancel()

    async def begin(self, status: int, headers: dict[str, str]) -> None:
        """Send the head of an answer that comes in parts."""
        self.set_status(status)
        for name, text in headers.items():
            self.set_header(name, text)
        # Small parts must not wait for the acknowledgement of those before.
        self.request.connection.stream.set_nodelay(True)  # type: ignore[union-attr]
        await self.flush()

    async def part(self, part: bytes) -> None:
        """Send a part; those that have arrived together leave together."""
        self.write(part)
        self._unsent += len(part)
        if self._sending is None or self._sending.done():
            # Runs as soon as the next part has to be waited for.
            self._sending = asyncio.create_task(self._send())
        if self._unsent > UNSENT:
            await self._sending

    async def ended(self) -> None:
        """Wait until all parts are sent."""
        if self._sending is not None:
            await self._sending

    def abort(self) -> None:
        """End the connection without the end of the answer."""
        self._aborted = True
        self.note = f"{self.note} (broken off)"
        self.request.connection.stream.close()  # type: ignore[union-attr]

    async def _send(self) -> None:
        try:
            while self._unsent:
                self._unsent = 0
                async with asyncio.timeout(self.desk.timeout_s):
                    await self.flush()
        except TimeoutError:
            self.request.connection.stream.close()  # type: ignore[union-attr]
        except StreamClosedError:
            # ``on_connection_close`` says so too, and ends the call.
            pass

    async def _answered(self) -> None:
        if self._refused is not None:
            raise self._refused
        if self._received > LARGEST_BODY:
            said = f"the body is larger than {LARGEST_BODY >> 20} MiB"
            raise Refused(400, "body_too_large", said)
        wanted = self.request.headers.get(HEADER, "").strip().lower() != "off"
        outgoing = self.desk.planner.outgoing(bytes(self._body), wanted)
        self._body.clear()
        asked = self.desk.bills.quoted(outgoing.fields, outgoing.body)
        self.note = outgoing.note
        for name, text in outgoing.told.items():
            self.set_header(name, text)
        async with self.desk.bills.charged(asked, self.desk.timeout_s) as charge:
            await relay(self._call(outgoing, charge), self.desk.upstream, self, self.desk.timeout_s)
        self.note += f"  cost {charge.told}"
        await self.finish()

    def _call(self, outgoing: Outgoing, charge: Charge) -> Call:
        given = self.request.headers
        authorization = self.desk.keys.onward(given.get("Authorization"))
        headers = sent_on(given.get_all(), authorization)
        return Call(
            headers,
            charge,
            outgoing.stream,
            outgoing.planned,
            outgoing.self_report,
            self.desk.keys.endpoint,
        )

    def _leave(self) -> None:
        if self._inside:
            self._inside = False
            self.desk.leave()
