"""What the answers of one server cost: a cap that holds, and the bill."""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from orchestrator.catalog import Dialect
from orchestrator.purse import Purse, Spent
from orchestrator.serve.errors import Refused
from orchestrator.serve.quotes import PriceOf, Quote, limited, quote, unbounded
from orchestrator.serve.requests import Fields, encoded
from shared.wire.answers import classify
from shared.wire.money import NANO, USUAL, Bill, Ceiling, bill, cost_usd
from shared.wire.untrusted import mapping, parsed
from shared.wire.verdicts import Billed

#: Says what a whole answer cost, in USD, or "unknown".
HEADER = "X-Concept-Grpo-Cost-Usd"
UNKNOWN = "unknown"
#: Bytes of one line of a stream beyond which it is not read.
LARGEST_LINE = 2**20

_FREE = Bill(0, 0, Billed.NO, 0)
_LINES = re.compile(rb"[\r\n]+")


class Totals(NamedTuple):
    """What all calls that have ended cost."""

    spent: Spent
    #: Calls by what is known of their cost: "known", "perhaps", "unknown".
    calls: Mapping[str, int]
    budget_usd: float | None

    def __str__(self) -> str:
        """For people, in one line."""
        said = f"${self.spent.known_usd:.6f}"
        if self.budget_usd is not None:
            said += f" of ${self.budget_usd:g}"
        if self.calls["perhaps"]:
            said += (
                f", and at most ${self.spent.perhaps_usd:.6f} for {self.calls['perhaps']} calls"
                " that did not tell their cost"
            )
        if self.calls["unknown"]:
            said += f", and the unknown cost of {self.calls['unknown']} calls"
        return said


class Bills:
    """The money of one server. Reserved before a call leaves, settled when it has ended."""

    def __init__(
        self,
        budget_usd: float | None = None,
        price_of: PriceOf = lambda _: None,
        dialect: Dialect = "openai",
        max_tokens: int = 400,
    ) -> None:
        """``max_tokens``: for requests under a budget that name none.

        ``dialect``: an endpoint of the OpenAI API names no cost: its tokens at the price are it.
        """
        self._budget_usd = budget_usd
        self._price_of = price_of
        self._dialect: Dialect = dialect
        self._max_tokens = max_tokens
        self._purse = Purse(budget_usd)
        self._calls = {"known": 0, "perhaps": 0, "unknown": 0}
        #: Set, and another put in its place, when a call has ended.
        self._settled = asyncio.Event()

    @property
    def totals(self) -> Totals:
        """Of all calls that have ended."""
        return Totals(self._purse.spent, dict(self._calls), self._budget_usd)

    def quoted(self, fields: Fields, body: bytes) -> Quote:
        """The request as it leaves, and the most that it may cost.

        Under a budget it is written anew: of a name that stands twice the endpoint might read the
        other one. Raises Refused where the most must be known, and cannot be.
        """
        if self._budget_usd is not None:
            fields = limited(fields, self._max_tokens)
            body = encoded(fields)
        try:
            return quote(fields, body, self._price_of, self._dialect)
        except Refused:
            if self._budget_usd is not None:
                raise
            return unbounded(fields, body, self._price_of, self._dialect)

    @asynccontextmanager
    async def charged(self, asked: Quote, timeout_s: float) -> AsyncIterator["Charge"]:
        """A call that may leave inside. What it tells of its cost is booked at the end of the
        block; where it tells nothing, all that was reserved.

        Raises Refused if the money for it is not there.
        """
        if asked.most is not None:
            await self._reserve(asked.most, asked.models, timeout_s)
        charge = Charge(asked)
        try:
            yield charge
        finally:
            self._settle(charge)
            self._settled.set()
            self._settled = asyncio.Event()

    async def _reserve(self, most: Ceiling, models: str, timeout_s: float) -> None:
        """Set the money aside, as soon as calls that are out bring enough of theirs back."""
        try:
            async with asyncio.timeout(timeout_s):
                while not self._purse.reserve(most, models):
                    most_nusd = self._purse.most_nusd(most, models)
                    if not self._purse.pending or most_nusd > self._purse.unspent_nusd:
                        raise self._used_up(most, models)
                    await self._settled.wait()
        except TimeoutError:
            said = f"calls under way held the rest of the budget for {timeout_s:g} s"
            raise Refused(429, "budget_reserved", said, {"Retry-After": "1"}) from None

    def _used_up(self, most: Ceiling, models: str) -> Refused:
        left = max(0, self._purse.left_nusd) / NANO
        said = (
            f"${left:.6f} of this server's budget of ${self._budget_usd:g} is left, and this call"
            f" may cost ${self._purse.most_nusd(most, models) / NANO:.6f}; lower max_tokens, or"
            " start the server with a higher --budget"
        )
        return Refused(402, "insufficient_quota", said)

    def _settle(self, charge: "Charge") -> None:
        due, most, models = charge.due, charge.quote.most, charge.quote.models
        known = charge.known
        if most is not None and due is None:
            self._purse.lose(most, models)
        elif most is not None and due is not None:
            self._purse.settle(most, due, models)
        elif due is not None and known:
            self._purse.book(due, models)
        if due is None or due.billed is not Billed.NO:
            doubtful = UNKNOWN if most is None else "perhaps"
            self._calls["known" if known else doubtful] += 1


class Charge:
    """One call, and what it tells of its cost."""

    def __init__(self, asked: Quote) -> None:
        self.quote = asked
        #: What is due for it; None: it told nothing, and may have cost all that it may.
        self.due: Bill | None = None
        self._cost_usd: float | None = None
        self._unread = b""
        self._usage: Mapping[str, Any] = {}
        self._named: Mapping[str, Any] = {}
        self._headers: tuple[tuple[bytes, bytes], ...] = ()

    @property
    def known(self) -> bool:
        """Whether its cost is known: named, or counted by the endpoint at a known price."""
        due = self.due
        if due is None or due.cost_nusd is not None:
            return due is not None
        return due.billed is Billed.YES and self.quote.sampling.price is not None

    @property
    def told(self) -> str:
        """The cost in USD to the nano-dollar, or "unknown"."""
        return UNKNOWN if self._cost_usd is None else f"{self._cost_usd:.9f}"

    def unsent(self) -> None:
        """The call never left."""
        self.due, self._cost_usd = _FREE, 0.0

    def whole(self, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> None:
        """A whole answer has come."""
        texts = {k.decode("latin-1"): v.decode("latin-1") for k, v in headers}
        found = classify(status, texts, body, time.time())
        answer, sampling = found.answer, self.quote.sampling
        counted = answer is not None and None not in (
            answer.prompt_tokens,
            answer.completion_tokens,
        )
        if counted and found.billed is Billed.PERHAPS:
            found = found._replace(billed=Billed.YES)
        self._cost_usd = cost_usd(found, sampling)
        self.due = bill(found, self.quote.body, sampling)
        if self.due.cost_nusd is None and self.due.billed is Billed.YES and not counted:
            # An estimate by the text's length would pass for a bill.
            self.due = self.due._replace(billed=Billed.PERHAPS, rates=USUAL)

    def begun(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """The head of a stream has come."""
        self._headers = tuple(headers)

    def part(self, part: bytes) -> None:
        """A part of a stream has come."""
        *lines, self._unread = _LINES.split(self._unread + part)
        for line in lines:
            self._read(line)
        if len(self._unread) > LARGEST_LINE:
            self._unread = b""

    def ended(self) -> None:
        """The stream has ended as it should: what it said of its usage is the bill."""
        last, self._unread = self._unread, b""
        self._read(last)
        said = {**self._named, "usage": self._usage, "choices": [{"message": {"content": "-"}}]}
        self.whole(200, self._headers, json.dumps(said).encode())

    def _read(self, line: bytes) -> None:
        data = line.removeprefix(b"data:").strip()
        if data == b"[DONE]":
            # A caller may hang up now.
            self.ended()
        # Of the many events only the few that tell the usage are read.
        if not line.startswith(b"data:") or b'"usage"' not in data:
            return
        event = mapping(parsed(data))
        if usage := mapping(event.get("usage")):
            self._usage = usage
            self._named = {key: event[key] for key in ("id", "model") if key in event}


class _Shown(Collector):
    """The totals as metrics."""

    def __init__(self, totals: Totals, in_flight: int) -> None:
        self._totals, self._in_flight = totals, in_flight

    def collect(self) -> Iterable[CounterMetricFamily | GaugeMetricFamily]:
        totals = self._totals
        cost = CounterMetricFamily(
            "cgrpo_serve_cost_usd", "Dollars of the calls whose cost is known."
        )
        cost.add_metric([], totals.spent.known_usd)
        perhaps = GaugeMetricFamily(
            "cgrpo_serve_cost_perhaps_usd",
            "Dollars that calls which did not tell their cost may have cost at most.",
            totals.spent.perhaps_usd,
        )
        calls = CounterMetricFamily(
            "cgrpo_serve_calls", "Calls that may have cost, by what is known.", labels=["cost"]
        )
        for kind, number in totals.calls.items():
            calls.add_metric([kind], number)
        budget = GaugeMetricFamily(
            "cgrpo_serve_budget_usd",
            "Dollars that the server may spend.",
            float("inf") if totals.budget_usd is None else totals.budget_usd,
        )
        flying = GaugeMetricFamily(
            "cgrpo_serve_requests_in_flight", "Requests under way.", self._in_flight
        )
        return [cost, perhaps, calls, budget, flying]


def metrics(totals: Totals, in_flight: int) -> bytes:
    """The totals as Prometheus reads them."""
    registry = CollectorRegistry()
    registry.register(_Shown(totals, in_flight))
    return generate_latest(registry)
