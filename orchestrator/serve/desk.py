"""What all requests to one server share: policy, way upstream, keys, places, money."""

import asyncio
import hmac
from collections.abc import Callable
from dataclasses import dataclass, field

from orchestrator.serve.bills import Bills
from orchestrator.serve.errors import Refused
from orchestrator.serve.planner import Planner
from orchestrator.serve.requests import OURS
from orchestrator.serve.upstream import Upstream


@dataclass(frozen=True)
class Keys:
    """Who may call, and with what the endpoint is called."""

    #: What callers must present; None: whoever reaches the server may call.
    callers: str | None = field(default=None, repr=False)
    #: For the endpoint; None: callers bring their own.
    endpoint: str | None = field(default=None, repr=False)

    def checked(self, authorization: str | None) -> None:
        """Raises Refused unless the caller may call."""
        if self.callers is None:
            return
        wanted = f"Bearer {self.callers}".encode()
        if not hmac.compare_digest((authorization or "").encode("latin-1"), wanted):
            raise Refused(401, "invalid_api_key", "this server wants its own key, and got another")

    def onward(self, authorization: str | None) -> str | None:
        """The authorization for the endpoint: the caller's own, else the server's."""
        theirs = authorization if self.callers is None else None
        if theirs and theirs != f"Bearer {OURS}":
            return theirs
        return f"Bearer {self.endpoint}" if self.endpoint else None


@dataclass
class Desk:
    """Made once per server."""

    planner: Planner
    upstream: Upstream
    keys: Keys
    #: Told in GET /models.
    models: tuple[str, ...]
    policy_version: int
    max_inflight: int
    #: Seconds for a whole answer, and between two parts of a stream.
    timeout_s: float
    #: Takes one line per request.
    log: Callable[[str], None]
    bills: Bills = field(default_factory=Bills)
    draining: bool = False
    inflight: int = 0
    _empty: asyncio.Event = field(default_factory=asyncio.Event)

    def enter(self) -> None:
        """Take a place for a request. Raises Refused if there is none."""
        wait = {"Retry-After": "1"}
        if self.draining:
            raise Refused(503, "stopping", "this server is stopping", wait)
        if self.inflight >= self.max_inflight:
            said = (
                f"{self.max_inflight} requests are under way, and this server takes no more at a"
                " time (--max-inflight)"
            )
            raise Refused(429, "server_busy", said, wait)
        self.inflight += 1
        self._empty.clear()

    def leave(self) -> None:
        """Give the place back."""
        self.inflight -= 1
        if not self.inflight:
            self._empty.set()

    async def emptied(self) -> None:
        """Wait until no request is under way."""
        if self.inflight:
            await self._empty.wait()
