"""Admission and settlement of every paid call of the fleet.

A call's way: ``admit`` waits until rate, concurrency and budget have room for it, all decided by
one script on the server; the call is made; ``settle`` gives back what it held and books what it
cost. The dollar cap holds whatever the number of workers, because the most that a call can cost is
reserved before it leaves.
"""

import asyncio
import json
import logging
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from shared.keys import RunKeys
from shared.messages import Limits
from worker.governor.finishing import Finishing
from worker.governor.keys import AccountKeys, LedgerKeys
from worker.governor.scripts import Scripts
from worker.governor.tickets import (
    MoneyRole,
    OutOfTime,
    Scope,
    Settlement,
    Stop,
    Stopped,
    Ticket,
    Withdrawn,
)
from worker.governor.waiting import Line, WaitingRoom
from worker.slots import Commit

#: Calls at once to a model of which nothing is known; doubled while all goes well.
FIRST_LIMIT = 4
#: Seconds after which a waiting head asks again though nobody woke it.
LONGEST_WAIT_S = 2.0
#: Seconds that a pause may last, whatever a server asks for.
LONGEST_PAUSE_S = 3600.0
#: Seconds that a cancelled waiter takes at most to withdraw before it lets go; the rest is done
#: behind its back.
WITHDRAW_S = 1.0

NUSD = 1_000_000_000
STOPPING = "this worker is stopping"

log = logging.getLogger(__name__)


class Governor:
    """The fleet's governor as one process sees it. Lives on the worker's loop.

    ``redis`` decodes responses, has a socket timeout above 2 s or none, and is closed by its owner.
    ``account`` names the endpoint and key whose limits are shared; it is no secret.
    Every method raises RedisError if the server fails; what was held then expires by itself.
    """

    def __init__(self, redis: Redis, account: str) -> None:
        self._redis = redis
        self._keys = AccountKeys(account)
        self._scripts = Scripts(redis)
        self._room = WaitingRoom(redis, self._keys)
        self._work = Finishing()
        self._clocks: set[asyncio.Timeout] = set()
        self._draining = False

    async def admit(self, ticket: Ticket, limits: Limits, deadline: float) -> None:
        """Wait until the call may leave. From here on its caller owes a ``settle``, also when it
        is cancelled: else permit and dollars are held for ``ticket.lifetime_s``.

        ``deadline`` is in the loop's time. Raises Stopped if the run has a stop, now or while this
        waits, Withdrawn if the group's lease is another's or this worker drains, and OutOfTime at
        the deadline; then, as after a cancellation, nothing is held.
        """
        if self._draining:
            raise Withdrawn(STOPPING)
        clock = asyncio.timeout_at(deadline)
        try:
            async with clock:
                self._clocks.add(clock)
                async with self._room.head(ticket.run, ticket.model) as line:
                    await self._take_turn(line, ticket, limits)
        except TimeoutError:
            if clock.expired():
                raise (Withdrawn(STOPPING) if self._draining else OutOfTime) from None
            raise
        finally:
            self._clocks.discard(clock)

    def drain(self) -> None:
        """Admit no more calls: who waits hears it now. Those that have left are settled as ever."""
        self._draining = True
        for clock in self._clocks:
            if not clock.expired():
                clock.reschedule(0)

    async def settle(
        self, ticket: Ticket, settlement: Settlement, commit: Commit | None = None
    ) -> str | None:
        """Give the permit back and book the money; a second time changes nothing.

        What ``commit`` keeps is kept by the same script, so that neither is there without the
        other. Returns why the circuit breaker tripped, once, if this answer was one reject too
        many: the caller then stops the run. A cancellation does not keep it from being booked.
        """
        cost = settlement.cost_nusd
        verdict = {None: "fine", "": "none"}.get(settlement.fault, "reject")
        ledger = LedgerKeys(ticket.run)
        settling = self._work.begin(
            self._scripts.settle(
                keys=[
                    *self._call_keys(ticket),
                    RunKeys(ticket.run).stop,
                    self._keys.tokens,
                    self._keys.adaptive(ticket.model),
                    ledger.verdicts,
                    ledger.tripped,
                    *(commit.keys if commit else []),
                ],
                args=[
                    ticket.call,
                    self._room.owner,
                    ticket.run,
                    ticket.model,
                    ticket.role,
                    "" if cost is None or cost < 0 else cost,
                    max(0, settlement.estimate_nusd),
                    settlement.billed,
                    "" if settlement.tokens is None else max(0, settlement.tokens),
                    int(settlement.throttled),
                    verdict,
                    settlement.fault or "",
                    FIRST_LIMIT,
                    *(commit.args if commit else []),
                ],
            )
        )
        tripped = await asyncio.shield(settling)
        return _breaker_reason(*tripped) if tripped else None

    async def resolve(self, run: str, role: MoneyRole, call: str, cost_nusd: int) -> bool:
        """Replace what ``call`` perhaps cost by what it cost, in 1e-9 USD.

        For an attempt that broke and whose answer a later attempt got from the response cache.
        False if there is no doubt about that call: it was settled otherwise, or resolved before.
        """
        ledger = self._ledger_keys(run)
        resolving = self._scripts.resolve(keys=ledger, args=[role, call, max(0, cost_nusd)])
        return bool(await asyncio.shield(self._work.begin(resolving)))

    async def pause(self, scope: Scope, model: str, wait_s: float) -> None:
        """No call of the scope leaves for ``wait_s`` seconds, an hour at most; a longer one stays.

        Afterwards the limit opens gradually, so that what has gathered does not leave at once.
        """
        # Written so that NaN is no pause.
        if not wait_s > 0:
            return
        wait_us = int(min(wait_s, LONGEST_PAUSE_S) * 1e6)
        ramp_us = min(max(wait_us // 4, 100_000), 5_000_000)
        key = self._keys.pause if scope == "account" else self._keys.model_pause(model)
        await self._scripts.pause(keys=[key], args=[wait_us, ramp_us])

    async def stop(self, run: str, kind: str, sentence: str) -> None:
        """Let the run make no more calls. The first stop stays; whoever waits gets it at once.

        It lies under ``RunKeys.stop`` until the orchestrator removes it, and goes into the run's
        events as ``{"stop": kind, "sentence": sentence}``.
        """
        await self._stop(run, Stop(kind, sentence))

    async def stopped(self, run: str) -> Stop | None:
        """The stop of the run, if it has one."""
        found = await self._redis.get(RunKeys(run).stop)
        return Stop(**json.loads(found)) if found else None

    async def aclose(self) -> None:
        """Finish what is under way; nobody waits any more. The client stays open."""
        await self._room.aclose()
        await self._work.all_done()

    async def _take_turn(self, line: Line, ticket: Ticket, limits: Limits) -> None:
        place = "0"
        asking: asyncio.Future[Any] | None = None
        try:
            while True:
                asking = self._work.begin(self._ask(line, ticket, limits, place))
                answer, *rest = await asyncio.shield(asking)
                if answer == "admitted":
                    return
                if answer == "stopped":
                    raise Stopped(**json.loads(rest[0]))
                if answer == "lost":
                    raise Withdrawn("the group is in other hands")
                if answer == "exhausted":
                    await self._stop_at_budget(ticket, limits, int(rest[0]))
                wait_us, place = rest
                await self._room.sleep(line, int(wait_us) / 1e6)
        except BaseException:
            # Whether the last ask was granted is not known here: the script withdraws either.
            withdrawing = self._work.begin(self._withdraw(line, ticket, asking))
            await asyncio.wait({withdrawing}, timeout=WITHDRAW_S)
            raise

    async def _ask(self, line: Line, ticket: Ticket, limits: Limits, place: str) -> Any:
        max_cost = limits.max_cost_usd
        return await self._scripts.admit(
            keys=[
                *self._call_keys(ticket),
                RunKeys(ticket.run).stop,
                self._keys.pause,
                self._keys.model_pause(ticket.model),
                self._keys.requests,
                self._keys.tokens,
                self._keys.adaptive(ticket.model),
                self._keys.places,
                ticket.lease,
            ],
            args=[
                line.mailbox,
                place,
                ticket.call,
                self._room.owner,
                ticket.run,
                ticket.model,
                ticket.role,
                ticket.tokens,
                ticket.ceiling_nusd,
                int(ticket.lifetime_s * 1e6),
                limits.max_inflight,
                limits.max_rpm or 0,
                limits.max_tpm or 0,
                -1 if max_cost is None else round(max_cost * NUSD),
                FIRST_LIMIT,
                int(LONGEST_WAIT_S * 1e6),
                ticket.holder,
            ],
        )

    async def _withdraw(
        self, line: Line, ticket: Ticket, asking: "asyncio.Future[Any] | None"
    ) -> None:
        if asking is not None:
            await asyncio.wait({asking})
        try:
            await self._scripts.withdraw(
                keys=self._call_keys(ticket),
                args=[line.mailbox, ticket.call, self._room.owner, ticket.model],
            )
        except RedisError as error:
            log.warning("a waiting call's place expires by itself: %s", type(error).__name__)

    async def _stop_at_budget(self, ticket: Ticket, limits: Limits, settled_nusd: int) -> None:
        """Raises Stopped."""
        cap = limits.max_cost_usd or 0.0
        stop = await self._stop(
            ticket.run,
            Stop(
                "budget",
                f"the budget of ${cap:g} is used up: ${settled_nusd / NUSD:.6f} are spent or"
                f" perhaps spent, and the next call could cost ${ticket.ceiling_nusd / NUSD:.6f};"
                " resume the run with a higher --budget",
            ),
        )
        raise Stopped(*stop)

    async def _stop(self, run: str, stop: Stop) -> Stop:
        keys = RunKeys(run)
        holds = await self._scripts.stop(
            keys=[*self._ledger_keys(run), self._keys.line, keys.stop, keys.events],
            args=[json.dumps(stop._asdict()), *stop, run],
        )
        return Stop(**json.loads(holds))

    def _ledger_keys(self, run: str) -> list[str]:
        ledger = LedgerKeys(run)
        return [RunKeys(run).money, ledger.expiries, ledger.reservations, ledger.doubts]

    def _call_keys(self, ticket: Ticket) -> list[str]:
        """What every script about a call gets first, in the order that the Lua files name."""
        permits = [self._keys.permits, self._keys.model_permits(ticket.model)]
        return [*self._ledger_keys(ticket.run), self._keys.line, *permits]


def _breaker_reason(name: str, times: int, rejects: int, answers: int) -> str:
    if times == answers:
        return f"{name}: all of the first {answers} answers are rejects of this kind"
    return f"{name}: {rejects} of the last {answers} answers are rejects, {times} of this kind"
