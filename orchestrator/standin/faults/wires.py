"""A good answer, damaged on its way: the second half of section 4.3.

The model was asked and the tokens are paid, unless the answer never came from it. A retry of the
same bytes finds it in the response cache, if the request asked for that.
"""

from collections.abc import Callable
from dataclasses import replace

from orchestrator.standin.faults.error_texts import html_page
from orchestrator.standin.faults.kinds import Fault, Stage
from orchestrator.standin.streaming import events
from orchestrator.standin.wire import HTML_TYPE, SSE_TYPE, Delivery, Reply


def _paid(name: str, says: str, delivers: Callable[[Reply], Reply]) -> Fault:
    return Fault(name, Stage.WIRE, 200, says, billed=True, stored=True, delivers=delivers)


def _by(delivery: Delivery) -> Callable[[Reply], Reply]:
    return lambda reply: replace(reply, delivery=delivery)


def _cut(reply: Reply) -> Reply:
    """Ends inside the text of the message, so that it is no JSON, though as long as announced."""
    at = reply.body.find(b'"content":') + len(b'"content":"')
    return replace(reply, body=reply.body[: at + max(1, (len(reply.body) - at) // 4)])


def _page(reply: Reply) -> Reply:
    page = html_page(200, "Just a moment...").encode()
    return Reply(200, page, content_type=HTML_TYPE)


def _stream(reply: Reply) -> Reply:
    if reply.content_type == SSE_TYPE:
        return reply
    pieces = events(reply.body)
    return replace(reply, content_type=SSE_TYPE, delivery=Delivery.PIECES, pieces=pieces)


WIRE_FAULTS: tuple[Fault, ...] = (
    _paid("padded", "five blank lines, then JSON", lambda r: replace(r, body=b"\n" * 5 + r.body)),
    _paid("drip", "blank lines for a minute, then JSON", _by(Delivery.DRIP)),
    _paid("slow", "nothing for 5 s, then JSON", _by(Delivery.SLOW)),
    _paid("truncated_json", "ends inside a string, HTTP fine", _cut),
    _paid("short_body", "closes before Content-Length", _by(Delivery.SHORT)),
    _paid("reset", "RST after the generation", _by(Delivery.RESET)),
    _paid("empty_body", "0 bytes", lambda reply: replace(reply, body=b"")),
    Fault("html_200", Stage.WIRE, 200, "HTML under status 200", delivers=_page),
    _paid("sse", "an event stream to a plain request", _stream),
    Fault(
        "reset_early",
        Stage.WIRE,
        200,
        "RST before any model was asked",
        extra=True,
        delivers=_by(Delivery.RESET),
    ),
)
