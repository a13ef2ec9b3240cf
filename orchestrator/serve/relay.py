"""One request to the model's endpoint and its answer back: whole, or part by part as it comes."""

import asyncio
import json
from collections.abc import Iterable
from typing import NamedTuple, Protocol

import httpcore

from orchestrator.serve.answers import LARGEST_ANSWER, RedactedText, Redaction, judged, passed_on
from orchestrator.serve.bills import HEADER, Charge
from orchestrator.serve.errors import Refused, Reply, in_form
from orchestrator.serve.self_reports import TextEvents
from orchestrator.serve.upstream import Upstream

Headers = list[tuple[bytes, bytes]]

# Between two hops only, ours to set, or about the way to this server.
_NOT_SENT_ON = frozenset({
    "accept-encoding", "authorization", "connection", "content-length", "content-type", "cookie",
    "expect", "forwarded", "host", "keep-alive", "origin", "referer", "te", "trailer",
    "transfer-encoding", "upgrade", "via", "x-concept-grpo", "x-real-ip",
})  # fmt: skip
_PREFIXES_NOT_SENT_ON = ("proxy-", "sec-", "x-forwarded-")
_NEVER_LEFT = (
    httpcore.ConnectError,
    httpcore.ConnectTimeout,
    httpcore.LocalProtocolError,
    httpcore.ProxyError,
)
_ENDS_OF_EVENTS = (b"\n\n", b"\r\r", b"\r\n\r\n")


class Call(NamedTuple):
    """What goes to the endpoint."""

    headers: Headers
    #: Holds the body, and is told what the answer says of its cost.
    charge: Charge
    #: Whether the answer is asked for as server-sent events.
    stream: bool
    #: Whether the policy's plan is in it: the caller gets the text alone.
    planned: bool
    #: Whether the prompt asks for an object around the text, which the caller must not see.
    self_report: bool
    #: The server's own key; it must not come back in an error.
    secret: str | None


class Caller(Protocol):
    """Where the answer goes."""

    def answer(self, reply: Reply) -> None:
        """Take a whole answer."""

    async def begin(self, status: int, headers: dict[str, str]) -> None:
        """Send the head of an answer that comes in parts."""

    async def part(self, part: bytes) -> None:
        """Send a part before the next one has to be waited for."""

    async def ended(self) -> None:
        """Wait until all parts are sent."""

    def abort(self) -> None:
        """End the connection in a way that cannot be taken for the end of the answer."""


def sent_on(given: Iterable[tuple[str, str]], authorization: str | None) -> Headers:
    """The caller's headers that are meant for the endpoint, with ours."""
    # Bytes are judged and relayed as they are, so they must not be compressed on the way.
    headers = [(b"Content-Type", b"application/json"), (b"Accept-Encoding", b"identity")]
    if authorization:
        headers.append((b"Authorization", authorization.encode("latin-1")))
    for name, text in given:
        lowered = name.lower()
        if lowered not in _NOT_SENT_ON and not lowered.startswith(_PREFIXES_NOT_SENT_ON):
            headers.append((name.encode("latin-1"), text.encode("latin-1")))
    return headers


async def relay(call: Call, upstream: Upstream, caller: Caller, timeout_s: float) -> None:
    """Ask the endpoint and hand its answer to the caller; being cancelled ends the call there.

    ``timeout_s`` is for a whole answer, and for the head of a stream. Raises Refused without an
    answer.
    """
    try:
        async with (
            asyncio.timeout(timeout_s) as deadline,
            upstream.answer(call.headers, call.charge.quote.body) as response,
        ):
            if call.stream and response.status == 200 and _is_event_stream(response.headers):
                deadline.reschedule(None)
                call.charge.begun(response.headers)
                await caller.begin(200, passed_on(response.headers, call.secret))
                await _relay_parts(response, caller, call)
                return
            body = await _whole(response)
    except (TimeoutError, httpcore.TimeoutException) as error:
        _tell_unsent(error, call.charge)
        raise _failed(error, timeout_s) from None
    except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.ProxyError) as error:
        _tell_unsent(error, call.charge)
        raise _failed(error, timeout_s) from None
    call.charge.whole(response.status, response.headers, body)
    headers = passed_on(response.headers, call.secret) | {HEADER: call.charge.told}
    caller.answer(
        judged(response.status, headers, body, call.secret, call.planned, call.self_report)
    )


async def _relay_parts(response: httpcore.Response, caller: Caller, call: Call) -> None:
    tail = b"\n\n"
    texts = None
    if call.planned or call.secret:
        # A secret may be spelt over several events: each is read whole then.
        texts = TextEvents(call.planned, call.self_report, lambda: RedactedText(call.secret))
    redaction = Redaction(call.secret)
    try:
        async for part in response.aiter_stream():
            tail = (tail + part)[-4:]
            call.charge.part(part)
            await caller.part(redaction.add(texts.add(part) if texts else part))
        if texts:
            await caller.part(redaction.add(texts.end()))
        call.charge.ended()
        await caller.part(redaction.end())
    except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError) as error:
        if not tail.endswith(_ENDS_OF_EVENTS):
            # An event that began cannot be taken back, and nothing after it would be read.
            await caller.ended()
            caller.abort()
            return
        held = redaction.add(texts.end()) if texts else b""
        await caller.part(held + redaction.end())
        late = isinstance(error, httpcore.TimeoutException)
        failed = {
            "message": f"the model's endpoint broke off its answer ({type(error).__name__})",
            "code": "upstream_timeout" if late else "upstream_broken",
        }
        event = json.dumps({"error": in_form(504 if late else 502, failed)})
        await caller.part(f"data: {event}\n\n".encode())
    await caller.ended()


async def _whole(response: httpcore.Response) -> bytes:
    parts, size = [], 0
    async for part in response.aiter_stream():
        parts.append(part)
        size += len(part)
        if size > LARGEST_ANSWER:
            raise Refused(502, "upstream_broken", "the model's endpoint answers without an end")
    return b"".join(parts)


def _tell_unsent(error: Exception, charge: Charge) -> None:
    """Of a call that never left, nothing is billed."""
    if isinstance(error, _NEVER_LEFT):
        charge.unsent()


def _is_event_stream(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    return any(
        name.lower() == b"content-type" and value.lower().startswith(b"text/event-stream")
        for name, value in headers
    )


def _failed(error: Exception, timeout_s: float) -> Refused:
    """Only the class of the error is named: its text may quote the headers, and so the key."""
    kind = type(error).__name__
    if isinstance(error, httpcore.ConnectError | httpcore.ConnectTimeout | httpcore.ProxyError):
        said = f"the model's endpoint cannot be reached ({kind})"
        return Refused(502, "upstream_unreachable", said)
    if isinstance(error, TimeoutError | httpcore.TimeoutException):
        said = f"the model's endpoint gave no whole answer in {timeout_s:g} s"
        return Refused(504, "upstream_timeout", said)
    if isinstance(error, httpcore.LocalProtocolError):
        return Refused(400, "invalid_header", "a header of the request cannot be sent on")
    return Refused(502, "upstream_broken", f"the model's endpoint broke off its answer ({kind})")
