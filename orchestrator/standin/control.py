"""The control API under ``/_control``: what arrived, what was billed, what is to go wrong next.

JSON in and out, without a key, from any process on this machine. What changes something wants the
header ``X-Control``, which no form of a web page can send.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError

from orchestrator.standin.desk import Desk
from orchestrator.standin.faults import FAULTS
from orchestrator.standin.http import Request
from orchestrator.standin.plan import Orders
from orchestrator.standin.settings import Settings
from orchestrator.standin.wire import Reply, json_reply

PREFIX = "/_control/"
#: In lower case.
HEADER = "x-control"
Handler = Callable[[Desk, Mapping[str, str], bytes], dict[str, Any]]


def controlled(request: Request, desk: Desk) -> Reply:
    """The reply to a control request."""
    if request.method != "GET" and HEADER not in request.headers:
        return _wrong(403, "send the header 'X-Control: 1': no form of a web page can")
    handler = HANDLERS.get((request.method, request.path.removeprefix(PREFIX)))
    if handler is None:
        known = ", ".join(f"{method} {PREFIX}{name}" for method, name in HANDLERS)
        return _wrong(404, f"no such control; there are: {known}")
    try:
        return json_reply(handler(desk, request.query, request.body))
    except ValidationError as error:
        return _wrong(400, json.dumps(error.errors(include_url=False, include_context=False)))
    except ValueError as error:
        return _wrong(400, str(error))


def _wrong(status: int, message: str) -> Reply:
    return json_reply({"error": {"code": status, "message": message}}, status)


def _received(desk: Desk, query: Mapping[str, str], body: bytes) -> dict[str, Any]:
    limits = desk.memory.limits
    peaks = {"generating": limits.running, "peak_generating": limits.peak_running}
    last, window_s = int(query.get("last", "20")), float(query.get("window_s", "60"))
    if not 0 < window_s <= 86_400:
        raise ValueError("window_s is between 0 and 86400")
    return desk.memory.received.shown(peaks, last, window_s)


def _ledger(desk: Desk, query: Mapping[str, str], body: bytes) -> dict[str, Any]:
    return desk.memory.ledger.shown(query.get("generations", "1") != "0")


def _faults(desk: Desk, query: Mapping[str, str], body: bytes) -> dict[str, Any]:
    table = {
        fault.name: {
            "stage": fault.stage,
            "status": fault.status,
            "billed": fault.billed,
            "stored": fault.stored,
            "stops": fault.stops,
            "mixed": fault.mixed,
            "extra": fault.extra,
            "says": fault.says,
        }
        for fault in FAULTS.values()
    }
    return {**desk.memory.plan.shown(), "table": table}


def _order(desk: Desk, query: Mapping[str, str], body: bytes) -> dict[str, Any]:
    desk.memory.plan.take(Orders.model_validate_json(body or b"{}"))
    return desk.memory.plan.shown()


def _settings(desk: Desk, query: Mapping[str, str], body: bytes) -> dict[str, Any]:
    return desk.settings.model_dump(mode="json", exclude={"key"})


def _set(desk: Desk, query: Mapping[str, str], body: bytes) -> dict[str, Any]:
    changes = json.loads(body or b"{}")
    if not isinstance(changes, dict):
        raise ValueError("settings are an object")
    desk.settings = Settings.model_validate({**desk.settings.model_dump(), **changes})
    return _settings(desk, query, body)


def _reset(desk: Desk, query: Mapping[str, str], body: bytes) -> dict[str, Any]:
    desk.reset()
    return {"reset": True}


HANDLERS: Mapping[tuple[str, str], Handler] = {
    ("GET", "received"): _received,
    ("GET", "ledger"): _ledger,
    ("GET", "faults"): _faults,
    ("POST", "faults"): _order,
    ("GET", "settings"): _settings,
    ("POST", "settings"): _set,
    ("POST", "reset"): _reset,
}
