"""The way out of one process: calls wait here until the admission script lets them leave."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from shared.keys import RunKeys
from shared.messages import Limits
from worker.governor.finishing import Finishing
from worker.governor.keys import AccountKeys, LedgerKeys
from worker.governor.scripts import Scripts
from worker.governor.tickets import OutOfTime, Stop, Stopped, Ticket, Withdrawn
from worker.governor.waiting import Line, Waiter, WaitingRoom

#: Calls at once to a model of which nothing is known; doubled while all goes well.
FIRST_LIMIT = 4
#: Seconds after which a waiting line asks again though nobody woke it.
LONGEST_WAIT_S = 2.0
#: Seconds that a call which gives up waits at most until nothing is held for it; the rest is done
#: behind its back.
WITHDRAW_S = 1.0
#: How many calls are asked for at once: at first, then twice as many as were admitted last time,
#: between these bounds. The one who is refused keeps the place in the line for all.
FIRST_ASKED, LEAST_ASKED, MOST_ASKED = 8, 2, 32

NUSD = 1_000_000_000
STOPPING = "this worker is stopping"
NO_PLACE = "0"

log = logging.getLogger(__name__)

#: The budget of this call's run is used up, with so much settled, and so much that the call may
#: cost, in 1e-9 USD: stops the run.
Exhausted = Callable[[Ticket, Limits, int, int], Awaitable[Stop]]


class Turnstile:
    """Lets calls leave, first come first, as the fleet's limits allow. Lives on one loop."""

    def __init__(
        self,
        redis: Redis,
        keys: AccountKeys,
        scripts: Scripts,
        work: Finishing,
        exhausted: Exhausted,
    ) -> None:
        self._keys = keys
        self._scripts = scripts
        self._work = work
        self._exhausted = exhausted
        self._room = WaitingRoom(redis, keys, self._serve)
        self._draining = False

    @property
    def owner(self) -> str:
        """Unique for this process: whose permits and reservations are ours."""
        return self._room.owner

    async def admit(self, ticket: Ticket, limits: Limits, deadline: float) -> None:
        """``Governor.admit``."""
        if self._draining:
            raise Withdrawn(STOPPING)
        loop = asyncio.get_running_loop()
        waiter = Waiter(ticket, limits, loop.create_future(), loop.create_future())
        line = self._room.join(waiter)
        clock = asyncio.timeout_at(deadline)
        try:
            async with clock:
                await waiter.answer
        except BaseException as error:
            leaving = self._work.begin(self._leave(line, waiter))
            await asyncio.wait({leaving}, timeout=WITHDRAW_S)
            if isinstance(error, TimeoutError) and clock.expired():
                raise OutOfTime from None
            raise

    def drain(self) -> None:
        """Let nobody leave any more; who waits hears it now."""
        self._draining = True
        for line in self._room.lines():
            line.refuse_all(Withdrawn(STOPPING))
            line.look()

    def call_up(self, mailboxes: Sequence[str]) -> None:
        """Have the lines with these mailboxes ask at once."""
        for line in self._room.lines():
            if line.mailbox in mailboxes:
                line.look()

    async def aclose(self) -> None:
        """Nobody waits any more."""
        await self._room.aclose()

    async def _leave(self, line: Line, waiter: Waiter) -> None:
        line.leave(waiter)
        await waiter.out
        answer = waiter.answer
        if not answer.cancelled() and answer.exception() is None:
            # Admitted, and cancelled before it heard of it.
            await self._withdraw(waiter.ticket)

    async def _serve(self, line: Line) -> None:
        """Ask for the line's waiters until there are none."""
        place, most, wait_s = NO_PLACE, FIRST_ASKED, 0.0
        while True:
            gone = line.let_go()
            if not line.waiters and place != NO_PLACE:
                await self._withdraw(gone[-1].ticket._replace(call=""), line.mailbox)
                place, wait_s = NO_PLACE, 0.0
            for waiter in gone:
                waiter.let_out()
            if not line.waiters:
                return
            # Whoever has left may have been the one that had to wait.
            if wait_s and not any(waiter.answer.cancelled() for waiter in gone):
                await self._room.sleep(line, wait_s)
                wait_s = 0.0
                continue
            asked = line.first(most)
            try:
                answers = await self._ask(line, asked, place)
                for waiter, answer in zip(asked, answers, strict=False):
                    await self._answered(line, waiter, answer)
            except Exception as error:
                # Nobody may be left waiting. And Redis has been waited for already.
                line.refuse_all(error)
                continue
            admitted = sum(answer[0] == "admitted" for answer in answers)
            most = max(LEAST_ASKED, min(MOST_ASKED, 2 * admitted))
            place = NO_PLACE if admitted else place
            wait_s = 0.0
            if answers[-1][0] == "wait":
                wait_s, place = int(answers[-1][1]) / 1e6, answers[-1][2]

    async def _answered(self, line: Line, waiter: Waiter, answer: Sequence[str]) -> None:
        word = answer[0]
        if word == "admitted":
            if not line.admit(waiter):
                await self._withdraw(waiter.ticket)
        elif word == "lost":
            line.refuse(waiter, Withdrawn("the group is in other hands"))
        elif word == "stopped":
            line.refuse_all(Stopped(**json.loads(answer[1])))
        elif word == "exhausted":
            amounts = (int(amount) for amount in answer[1:3])
            stop = await self._exhausted(waiter.ticket, waiter.limits, *amounts)
            line.refuse_all(Stopped(*stop))

    async def _ask(self, line: Line, asked: Sequence[Waiter], place: str) -> Any:
        ticket, limits = asked[0].ticket, asked[0].limits
        max_cost = limits.max_cost_usd
        args: list[str | int] = [
            line.mailbox,
            place,
            self.owner,
            ticket.run,
            ticket.model,
            limits.max_inflight,
            limits.max_rpm or 0,
            limits.max_tpm or 0,
            -1 if max_cost is None else round(max_cost * NUSD),
            FIRST_LIMIT,
            int(LONGEST_WAIT_S * 1e6),
        ]
        for one in (waiter.ticket for waiter in asked):
            lifetime_us = int(one.lifetime_s * 1e6)
            args += [one.call, one.role, one.tokens, one.ceiling_nusd, lifetime_us, one.holder]
            args += one.ceiling
        return await self._scripts.admit(
            keys=[
                *self._keys.of_call(ticket.run, ticket.model),
                RunKeys(ticket.run).stop,
                self._keys.pause,
                self._keys.model_pause(ticket.model),
                self._keys.requests,
                self._keys.tokens,
                self._keys.adaptive(ticket.model),
                self._keys.places,
                LedgerKeys(ticket.run).rates(ticket.model),
                *(waiter.ticket.lease for waiter in asked),
            ],
            args=args,
        )

    async def _withdraw(self, ticket: Ticket, mailbox: str = "") -> None:
        try:
            await self._scripts.withdraw(
                keys=self._keys.of_call(ticket.run, ticket.model),
                args=[mailbox, ticket.call, self.owner, ticket.model],
            )
        except RedisError as error:
            log.warning("a waiting call's place expires by itself: %s", type(error).__name__)
