"""What arrived, and what became of it."""

import time
from array import array
from bisect import bisect_left
from collections import Counter, deque
from dataclasses import asdict, dataclass, field
from typing import Any

KEPT = 1000


@dataclass(slots=True)
class Exchange:
    """One chat request; filled in as it goes on."""

    at: float
    #: The end of the key, never all of it.
    key: str = ""
    model: str = ""
    #: Short name of the body's bytes.
    body: str = ""
    #: The same of what is asked, whatever the run is called.
    asked: str = ""
    size: int = 0
    #: How often this body was let through before.
    nth: int | None = None
    fault: str | None = None
    #: The name of a refusal that was earned, not drawn.
    refused: str | None = None
    cache: str | None = None
    generation: str | None = None
    status: int = 0
    seconds: float = 0.0


@dataclass(slots=True)
class Received:
    """Counts over all chat requests since the last reset."""

    last: deque[Exchange] = field(default_factory=lambda: deque(maxlen=KEPT))
    arrivals: "array[float]" = field(default_factory=lambda: array("d"))
    open: int = 0
    peak_open: int = 0
    by_status: Counter[int] = field(default_factory=Counter)
    by_fault: Counter[str] = field(default_factory=Counter)
    by_refusal: Counter[str] = field(default_factory=Counter)
    by_key: Counter[str] = field(default_factory=Counter)
    by_model: Counter[str] = field(default_factory=Counter)
    cache_hits: int = 0

    def begin(self) -> Exchange:
        """A request has arrived."""
        now = time.monotonic()
        self.arrivals.append(now)
        self.open += 1
        self.peak_open = max(self.peak_open, self.open)
        return Exchange(now)

    def answered(self, exchange: Exchange, status: int) -> None:
        """Its answer is known and goes onto the wire."""
        exchange.status = status
        self.by_status[status] += 1
        self.by_key[exchange.key] += 1
        self.by_model[exchange.model] += 1
        if exchange.fault:
            self.by_fault[exchange.fault] += 1
        if exchange.refused:
            self.by_refusal[exchange.refused] += 1
        self.cache_hits += exchange.cache == "HIT"
        self.last.append(exchange)

    def end(self, exchange: Exchange) -> None:
        """The wire is done with it, or it with the wire."""
        exchange.seconds = time.monotonic() - exchange.at
        self.open -= 1

    def shown(self, peaks: dict[str, int], last: int, window_s: float) -> dict[str, Any]:
        """For the control API."""
        now = time.monotonic()
        recent = len(self.arrivals) - bisect_left(self.arrivals, now - window_s)
        shown = list(self.last)[-last:] if last > 0 else []
        return {
            "count": len(self.arrivals),
            "open": self.open,
            "peak_open": self.peak_open,
            **peaks,
            "window_s": window_s,
            "in_last_window": recent,
            "most_in_any_window": self.most_in_any(window_s),
            "by_status": {str(status): count for status, count in sorted(self.by_status.items())},
            "by_fault": dict(sorted(self.by_fault.items())),
            "by_refusal": dict(sorted(self.by_refusal.items())),
            "by_key": dict(self.by_key),
            "by_model": dict(self.by_model),
            "cache_hits": self.cache_hits,
            "last": [_shown(each, now) for each in shown],
        }

    def most_in_any(self, window_s: float) -> int:
        """The most requests that arrived in any stretch of time so long."""
        first = most = 0
        for count, at in enumerate(self.arrivals, start=1):
            while self.arrivals[first] <= at - window_s:
                first += 1
            most = max(most, count - first)
        return most


def _shown(exchange: Exchange, now: float) -> dict[str, Any]:
    found = asdict(exchange)
    found["seconds_ago"] = round(now - found.pop("at"), 3)
    found["seconds"] = round(exchange.seconds, 6)
    return found
