"""One governed call: admitted, sent, classified, settled; waited for and repeated where that helps.

The same bytes are sent in every attempt, so that OpenRouter's response cache can answer a repeated
call for free. Every attempt is settled, whatever becomes of it; what the last one brings is
committed by the script that settles it, so that a paid answer is not lost between the two.
"""

import asyncio
import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Literal, NamedTuple

from redis.asyncio import Redis

from shared.keys import RunKeys
from shared.messages import FailureKind, Limits, Sampling
from shared.wire.answers import same_model
from shared.wire.client import ChatClient
from shared.wire.faults import BLOCK_FAULTS, BLOCKS_BEFORE_STOP, BREAKER_FAULTS
from shared.wire.money import NANO, bill, ceiling, cost_usd, prompt_tokens
from shared.wire.verdicts import Answer, Classified, Scope, Verdict
from shared.wire.waits import backoff_s
from worker.failures import ProviderFailure
from worker.governor import Governor, OutOfTime, Settlement, Stopped, Ticket
from worker.slots import Commit, Held
from worker.watching import EndedCall, Watches

Role = Literal["generate", "judge", "eval"]

#: The name of no fault.
FINE = "ok"
#: Another model answered than was asked: a fallback.
OTHER_MODEL = "other_model"
#: Seconds that a permit outlives the call's own deadline before its worker counts as dead.
PERMIT_GRACE_S = 15.0


class Ask(NamedTuple):
    """One request for one slot, and whom it is booked to."""

    #: Deterministic: run/s003/e017/k2/generate.
    id: str
    role: Role
    body: bytes
    sampling: Sampling
    limits: Limits
    #: The group that the slot belongs to: the call leaves only while it is in this worker's hands.
    held: Held

    @property
    def run(self) -> str:
        return self.held.task.run


class Reply(NamedTuple):
    """An answer and what its slot has cost, all attempts included."""

    answer: Answer
    #: None: not all of it is known.
    cost_usd: float | None
    attempts: int


#: What is kept of the last attempt's answer, or of the failure that it ends in; None = nothing.
Keep = Callable[[Reply | ProviderFailure], Commit | None]


class Caller:
    """Makes governed calls; one per worker process, on its loop."""

    def __init__(
        self, redis: Redis, governor: Governor, client: ChatClient, watches: Watches = ()
    ) -> None:
        self._redis = redis
        self._governor = governor
        self._client = client
        self._watches = watches
        self._draining = asyncio.Event()
        #: Blocks by the endpoint's edge since the last good answer.
        self._blocks = 0
        self._blocked_at = 0.0

    def drain(self) -> None:
        """Make no new call: those on the wire end as ever, the others raise Withdrawn."""
        self._draining.set()
        self._governor.drain()

    async def ask(self, ask: Ask, keep: Keep = lambda outcome: None) -> Reply:
        """The model's answer; what ``keep`` makes of it is committed with its money.

        Raises ProviderFailure when the slot has none in the end, Stopped when the run must stop,
        Withdrawn when the slot is no longer this worker's to do.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + ask.sampling.slot_timeout_s
        last: Classified | None = None
        earlier: list[float | None] = []
        for attempt in range(1, ask.sampling.max_attempts + 1):
            ticket = _ticket(ask, attempt)
            try:
                await self._governor.admit(ticket, ask.limits, deadline)
            except OutOfTime:
                raise _given_up(last, attempt - 1) from None
            left_at = loop.time()
            try:
                last = await self._called(ask, deadline - left_at, last is None or last.replay)
                outcome = await self._outcome(ask, last, attempt, earlier)
            except BaseException:
                # Cancelled on the way: it may have been billed, and its permit must not stay.
                await asyncio.shield(self._governor.settle(ticket, _perhaps(ticket)))
                raise
            await self._settle(ask, ticket, last, keep(outcome) if outcome else None)
            if isinstance(outcome, Reply):
                self._blocks = 0
                return outcome
            earlier.append(cost_usd(last, ask.sampling))
            await self._stop_if_told(ask, last, left_at)
            if last.verdict is not Verdict.REJECT:
                await self._wait(ask, last, attempt, deadline - loop.time())
            if outcome is not None:
                raise outcome
        raise _given_up(last, ask.sampling.max_attempts)

    async def _called(self, ask: Ask, left_s: float, replay: bool) -> Classified:
        seconds = max(0.01, min(ask.sampling.request_timeout_s, left_s))
        now = asyncio.get_running_loop().time
        began = now()
        found = await self._client.post_chat(ask.body, seconds, fresh=not replay)
        for watch in self._watches:
            watch.called(_ended(ask, now() - began, found))
        if ask.sampling.dialect == "openrouter":
            found = await self._client.priced(found)
        if found.fault != FINE:
            await self._redis.hincrby(RunKeys(ask.run).faults, found.fault, 1)
        return found

    async def _outcome(
        self, ask: Ask, found: Classified, attempt: int, earlier: Sequence[float | None]
    ) -> Reply | ProviderFailure | None:
        """How the slot ends with this answer; None = not yet, or not by itself."""
        if found.verdict is Verdict.COMPLETION and found.answer is not None:
            return await self._reply(ask, found, found.answer, attempt, earlier)
        if found.verdict is Verdict.REJECT:
            return ProviderFailure(found.kind, found.message, attempt)
        last = attempt == ask.sampling.max_attempts
        if last and found.verdict is Verdict.RETRY and found.fault not in BLOCK_FAULTS:
            return _given_up(found, attempt)
        return None

    async def _settle(
        self, ask: Ask, ticket: Ticket, found: Classified, commit: Commit | None
    ) -> None:
        settlement = _settlement(ask, found)
        tripped = await self._governor.settle(ticket, settlement, commit)
        if tripped:
            await self._governor.stop(ask.run, "breaker", f"{tripped}. Last: {found.message}")

    async def _reply(
        self,
        ask: Ask,
        found: Classified,
        answer: Answer,
        attempt: int,
        earlier: Sequence[float | None],
    ) -> Reply:
        cost, paid = cost_usd(found, ask.sampling), list(earlier)
        if answer.cache_hit and answer.source_id:
            # An earlier attempt was billed although its answer got lost: now its price is known.
            # The others whose answers got lost were answered from the cache, for nothing.
            cost = await self._client.generation_cost(answer.source_id)
            left = None if cost is None else round(cost * NANO)
            for number in range(1, attempt + 1):
                if left is not None and await self._governor.resolve(
                    ask.run, ask.role, f"{ask.id}/{number}", left
                ):
                    left = 0
            if cost is not None:
                paid = [amount or 0.0 for amount in paid]
        if not same_model(ask.sampling.model, answer.model):
            await self._redis.hincrby(RunKeys(ask.run).faults, OTHER_MODEL, 1)
        known = [amount for amount in (*paid, cost) if amount is not None]
        total = math.fsum(known) if len(known) == len(paid) + 1 else None
        return Reply(answer, total, attempt)

    async def _stop_if_told(self, ask: Ask, found: Classified, left_at: float) -> None:
        kind = found.fault if found.verdict is Verdict.STOP else ""
        if found.fault in BLOCK_FAULTS and left_at > self._blocked_at:
            # What left before the last block was seen belongs to the same wait.
            self._blocked_at = asyncio.get_running_loop().time()
            self._blocks += 1
            kind = kind or ("blocked" if self._blocks > BLOCKS_BEFORE_STOP else "")
        if kind:
            await self._governor.stop(ask.run, kind, found.message)
            raise Stopped(kind, found.message)

    async def _wait(self, ask: Ask, found: Classified, attempt: int, left_s: float) -> None:
        if found.scope is not Scope.REQUEST and found.wait_s:
            scope: Literal["model", "account"]
            scope = "model" if found.scope is Scope.MODEL else "account"
            for watch in self._watches:
                watch.paused(scope, found.wait_s)
            # The governor keeps this call waiting with all the others.
            await self._governor.pause(scope, ask.sampling.model, found.wait_s)
            return
        if attempt == ask.sampling.max_attempts:
            return
        wait_s = max(found.wait_s or 0.0, backoff_s(attempt))
        with suppress(TimeoutError):
            async with asyncio.timeout(min(wait_s, max(0.0, left_s))):
                await self._draining.wait()


def _ended(ask: Ask, seconds: float, found: Classified) -> EndedCall:
    return EndedCall(ask.held.task, ask.id, ask.role, ask.sampling.model, seconds, found)


def _ticket(ask: Ask, attempt: int) -> Ticket:
    most = ceiling(ask.body, ask.sampling)
    return Ticket(
        call=f"{ask.id}/{attempt}",
        run=ask.run,
        model=ask.sampling.model,
        role=ask.role,
        tokens=prompt_tokens(ask.body) + ask.sampling.max_tokens,
        ceiling_nusd=most.nusd(),
        lifetime_s=ask.sampling.request_timeout_s + PERMIT_GRACE_S,
        lease=ask.held.lease,
        holder=ask.held.holder,
        ceiling=most,
    )


def _settlement(ask: Ask, found: Classified) -> Settlement:
    """How the money and the breaker see an answer."""
    due = bill(found, ask.body, ask.sampling)
    fault = found.fault if found.fault in BREAKER_FAULTS else ""
    return Settlement(
        due.cost_nusd,
        due.estimate_nusd,
        due.billed.value,
        due.tokens,
        found.throttled,
        None if found.verdict is Verdict.COMPLETION else fault,
        due.rates if ask.limits.max_cost_usd is not None else None,
    )


def _perhaps(ticket: Ticket) -> Settlement:
    return Settlement(None, ticket.ceiling_nusd, "perhaps", None, False, "")


def _given_up(last: Classified | None, attempts: int) -> ProviderFailure:
    if last is None:
        return ProviderFailure(
            FailureKind.RATE_LIMITED, "the slot's time ran out before its call was admitted", 0
        )
    message = f"given up after {attempts} attempts: {last.message}"
    return ProviderFailure(last.kind, message, attempts)
