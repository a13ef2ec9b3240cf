"""Admission and settlement of every paid call of the fleet.

A call's way: ``admit`` waits until rate, concurrency and budget have room for it, all decided by
one script on the server; the call is made; ``settle`` gives back what it held and books what it
cost. The dollar cap holds whatever the number of workers, because the most that a call can cost is
reserved before it leaves.
"""

import json

from redis.asyncio import Redis

from shared.keys import RunKeys
from shared.messages import Limits
from worker.governor.finishing import Finishing
from worker.governor.keys import AccountKeys, LedgerKeys
from worker.governor.scripts import Scripts
from worker.governor.tickets import (
    MoneyRole,
    Scope,
    Settlement,
    Stop,
    Ticket,
)
from worker.governor.turnstile import FIRST_LIMIT, Turnstile
from worker.scripting import Scripting
from worker.slots import Commit

#: Seconds that a pause may last, whatever a server asks for.
LONGEST_PAUSE_S = 3600.0

NUSD = 1_000_000_000


class Governor:
    """The fleet's governor as one process sees it. Lives on the worker's loop.

    ``redis`` decodes responses, has a socket timeout above 2 s or none, and is closed by its owner.
    ``account`` names the endpoint and key whose limits are shared; it is no secret.
    Every method raises RedisError if the server fails; what was held then expires by itself.
    """

    def __init__(self, redis: Redis, scripting: Scripting, account: str) -> None:
        self._redis = redis
        self._keys = AccountKeys(account)
        self._scripting = scripting
        self._scripts = Scripts(scripting)
        self._work = Finishing()
        self._turnstile = Turnstile(
            redis, self._keys, self._scripts, self._work, self._stop_at_budget
        )

    async def admit(self, ticket: Ticket, limits: Limits, deadline: float) -> None:
        """Wait until the call may leave. From here on its caller owes a ``settle``, also when it
        is cancelled: else permit and dollars are held for ``ticket.lifetime_s``.

        ``deadline`` is in the loop's time. Raises Stopped if the run has a stop, now or while this
        waits, Withdrawn if the group's lease is another's or this worker drains, and OutOfTime at
        the deadline; then, as after a cancellation, nothing is held.
        """
        await self._turnstile.admit(ticket, limits, deadline)

    def drain(self) -> None:
        """Admit no more calls: who waits hears it now. Those that have left are settled as ever."""
        self._turnstile.drain()

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
        # A script that was called runs, whatever becomes of who waits for it.
        called_up, *tripped = await self._scripts.settle(
            keys=[
                *self._keys.of_call(ticket.run, ticket.model),
                RunKeys(ticket.run).stop,
                self._keys.tokens,
                self._keys.adaptive(ticket.model),
                ledger.verdicts,
                ledger.tripped,
                ledger.rates(ticket.model),
                *(commit.keys if commit else []),
            ],
            args=[
                ticket.call,
                self._turnstile.owner,
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
                *(["", "", ""] if settlement.rates is None else map(str, settlement.rates)),
                *(commit.args if commit else []),
            ],
        )
        self._turnstile.call_up(called_up)
        return _breaker_reason(*tripped[0]) if tripped else None

    async def resolve(self, run: str, role: MoneyRole, call: str, cost_nusd: int) -> bool:
        """Replace what ``call`` perhaps cost by what it cost, in 1e-9 USD.

        For an attempt that broke and whose answer a later attempt got from the response cache.
        False if there is no doubt about that call: it was settled otherwise, or resolved before.
        """
        books = LedgerKeys(run).books
        return bool(await self._scripts.resolve(keys=books, args=[role, call, max(0, cost_nusd)]))

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
        await self._turnstile.aclose()
        await self._work.all_done()
        await self._scripting.all_done()

    async def _stop_at_budget(
        self, ticket: Ticket, limits: Limits, settled_nusd: int, ceiling_nusd: int
    ) -> Stop:
        cap = limits.max_cost_usd or 0.0
        return await self._stop(
            ticket.run,
            Stop(
                "budget",
                f"the budget of ${cap:g} is used up: ${settled_nusd / NUSD:.6f} are spent or"
                f" perhaps spent, and the next call could cost ${ceiling_nusd / NUSD:.6f};"
                " resume the run with a higher --budget",
            ),
        )

    async def _stop(self, run: str, stop: Stop) -> Stop:
        keys = RunKeys(run)
        holds = await self._scripts.stop(
            keys=[*LedgerKeys(run).books, self._keys.line, keys.stop, keys.events],
            args=[json.dumps(stop._asdict()), *stop, run],
        )
        return Stop(**json.loads(holds))


def _breaker_reason(name: str, times: int, rejects: int, answers: int) -> str:
    if times == answers:
        return f"{name}: all of the first {answers} answers are rejects of this kind"
    return f"{name}: {rejects} of the last {answers} answers are rejects, {times} of this kind"
