"""Who may pass: requests in a window, generations at a time, and money."""

import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from orchestrator.standin.catalog import Model
from orchestrator.standin.faults.errors import Circumstances, refusal
from orchestrator.standin.ledger import Ledger
from orchestrator.standin.settings import Settings, nano


@dataclass(slots=True)
class Limits:
    """The limits of the one account and the one key."""

    ledger: Ledger
    admitted: deque[float] = field(default_factory=deque)
    running: int = 0
    peak_running: int = 0
    free_day: int = 0
    free_used: int = 0

    def check(self, settings: Settings, model: Model, max_tokens: int | None) -> None:
        """Let a request pass, or raise the Refusal that it gets."""
        circumstances = Circumstances(model=model.slug, max_tokens=max_tokens)
        if model.free:
            self._check_free(settings, circumstances)
        else:
            self._check_money(settings, model, circumstances)
        self._check_rate(settings, circumstances)
        if settings.max_in_flight is not None and self.running >= settings.max_in_flight:
            wait = max(settings.latency_ms / 1000, float(settings.retry_after_s))
            raise refusal("in_flight", Circumstances(model=model.slug, wait_s=wait))
        if settings.rpm is not None:
            self.admitted.append(time.monotonic())

    @contextmanager
    def generation(self) -> Iterator[None]:
        """Counts among those in flight while it lasts."""
        self.running += 1
        self.peak_running = max(self.peak_running, self.running)
        try:
            yield
        finally:
            self.running -= 1

    def free_used_today(self) -> int:
        """Requests to free models since 00:00 UTC."""
        today = int(time.time() // 86_400)
        if today != self.free_day:
            self.free_day, self.free_used = today, 0
        return self.free_used

    def _check_rate(self, settings: Settings, circumstances: Circumstances) -> None:
        if settings.rpm is None:
            return
        now = time.monotonic()
        while self.admitted and self.admitted[0] <= now - settings.window_s:
            self.admitted.popleft()
        if len(self.admitted) >= settings.rpm:
            # The oldest that still counts frees the place.
            wait = self.admitted[len(self.admitted) - settings.rpm] + settings.window_s - now
            limited = Circumstances(model=circumstances.model, wait_s=wait, limit=settings.rpm)
            raise refusal("rate_minute", limited)

    def _check_free(self, settings: Settings, circumstances: Circumstances) -> None:
        # Refused requests count as well, as on the real platform.
        used = self.free_used_today()
        self.free_used += 1
        if used >= settings.free_per_day:
            limit = Circumstances(model=circumstances.model, limit=settings.free_per_day)
            raise refusal("rate_daily", limit)

    def _check_money(self, settings: Settings, model: Model, circumstances: Circumstances) -> None:
        if settings.key_limit is not None and self.ledger.total >= nano(settings.key_limit):
            raise refusal("key_limit", circumstances)
        if settings.credit is None:
            return
        left = nano(settings.credit) - self.ledger.total
        if left <= 0:
            raise refusal("credits", circumstances)
        asked = circumstances.max_tokens or model.max_completion
        affordable = left // max(1, model.completion_nano)
        if asked > affordable:
            poor = Circumstances(model=model.slug, max_tokens=asked, limit=affordable)
            raise refusal("afford", poor)
