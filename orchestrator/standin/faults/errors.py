"""Errors with a status of their own: section 4.2, and the same refusals where they are earned.

A fault and a true refusal of the same name are the same answer: a drawn ``rate_minute`` and the one
that a stand-in with ``rpm`` gives differ only in how long the wait is.
"""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from orchestrator.standin.faults.error_texts import ERRORS, ErrorText, Hint, html_page
from orchestrator.standin.faults.kinds import Fault, Stage
from orchestrator.standin.wire import HTML_TYPE, Reply, json_reply

#: Looks like the real one; a client never logs it.
USER_ID = "user_2StandInNeverLogThis00000000"


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What the texts of an error mention."""

    model: str = "stand-in/plain"
    provider: str = "StandIn"
    max_tokens: int | None = None
    #: Seconds until it is worth trying again.
    wait_s: float = 1.0
    #: The limit that was reached: requests, or completion tokens that can be paid.
    limit: int = 20
    context: int = 131_072
    prompt_tokens: int = 140_000


class Refusal(Exception):
    """The request ends here, with this answer."""

    def __init__(self, name: str, reply: Reply) -> None:
        super().__init__(name)
        self.name = name
        self.reply = reply


def refusal(name: str, circumstances: Circumstances | None = None) -> Refusal:
    """The error of that name, to be raised."""
    return Refusal(name, error_reply(name, circumstances or Circumstances()))


def error_reply(name: str, circumstances: Circumstances) -> Reply:
    """The error of that name, as it goes over the wire."""
    text = ERRORS[name]
    if text.html:
        page = html_page(text.status, text.message).encode()
        return Reply(text.status, page, (("Server", "cloudflare"),), HTML_TYPE)
    hints = _Hints(text, circumstances)
    if text.body is not None:
        return json_reply(_filled(text.body, circumstances), text.status, tuple(hints.headers))
    metadata = {**_filled(text.metadata, circumstances), **hints.metadata}
    error: dict[str, Any] = {"message": _fill(text.message, circumstances), "code": text.status}
    if metadata:
        error["metadata"] = metadata
    return json_reply({"error": error, "user_id": USER_ID}, text.status, tuple(hints.headers))


@dataclass(slots=True)
class _Hints:
    """When to come back, in all the places where this error says so."""

    text: ErrorText
    circumstances: Circumstances
    headers: list[tuple[str, str]] = field(default_factory=list)
    metadata: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        seconds = math.ceil(self.circumstances.wait_s)
        for hint in self.text.hints:
            match hint:
                case Hint.HEADER:
                    self.headers.append(("Retry-After", str(seconds)))
                case Hint.SECONDS:
                    self.metadata["retry_after_seconds"] = seconds
                case Hint.INNER:
                    self.metadata["headers"] = {"Retry-After": str(seconds)}
                case Hint.RESET:
                    self._reset(int((time.time() + self.circumstances.wait_s) * 1000))
                case Hint.MIDNIGHT:
                    self._reset(next_midnight_ms())

    def _reset(self, at_ms: int) -> None:
        limits = {
            "X-RateLimit-Limit": str(self.circumstances.limit),
            "X-RateLimit-Remaining": "0",
            "X-RateLimit-Reset": str(at_ms),
        }
        self.headers.extend(limits.items())
        self.metadata["headers"] = limits


def next_midnight_ms() -> int:
    """When quotas per day begin anew: the epoch in milliseconds of 00:00 UTC."""
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).date()
    return int(datetime(tomorrow.year, tomorrow.month, tomorrow.day, tzinfo=UTC).timestamp()) * 1000


def _filled(shape: Mapping[str, Any], circumstances: Circumstances) -> dict[str, Any]:
    return {key: _fill(value, circumstances) for key, value in shape.items()}


def _fill(value: Any, circumstances: Circumstances) -> Any:
    if isinstance(value, dict):
        return _filled(value, circumstances)
    if value == "{wait}":
        return math.ceil(circumstances.wait_s)
    if not isinstance(value, str):
        return value
    asked = circumstances.max_tokens or 65_536
    replaced = {
        "{model}": circumstances.model,
        "{provider}": circumstances.provider,
        "{max_tokens}": str(asked),
        "{limit}": str(circumstances.limit),
        "{context}": str(circumstances.context),
        "{prompt_tokens}": str(circumstances.prompt_tokens),
        "{requested}": str(circumstances.prompt_tokens + asked),
        "{midnight}": datetime.fromtimestamp(next_midnight_ms() / 1000, UTC).isoformat(),
    }
    for name, text in replaced.items():
        value = value.replace(name, text)
    return value


ERROR_FAULTS: tuple[Fault, ...] = tuple(
    Fault(
        name=name,
        stage=Stage.BEFORE,
        status=text.status,
        says=text.says or text.message,
        stops=text.stops,
        mixed=text.mixed and not text.stops,
        extra=text.extra,
        late=text.status >= 500 or text.status == 408,
    )
    for name, text in ERRORS.items()
)
