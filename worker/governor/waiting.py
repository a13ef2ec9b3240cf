"""Who waits in this process: one line per run and model, of which one task asks Redis.

It asks for as many of the first waiters as may leave at once. When they may not go it sleeps as
long as the script says, or until its mailbox in Redis gets a word from whoever made room. The
waiters themselves cost nothing.
"""

import asyncio
import itertools
import logging
import secrets
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from shared.messages import Limits
from worker.governor.keys import AccountKeys
from worker.governor.tickets import Ticket

#: Seconds that one blocking read takes at most: less than any client's socket timeout.
BLOCK_S = 2.0
#: Seconds until a mailbox that could not be read is read again.
AGAIN_S = 1.0

log = logging.getLogger(__name__)


@dataclass(eq=False, slots=True)
class Waiter:
    """One call that waits."""

    ticket: Ticket
    limits: Limits
    #: None when the call may leave, or why it never will; cancelled with who waits for it.
    answer: "asyncio.Future[None]"
    #: Done when the line has let go of it, and holds nothing for it that its answer does not say.
    out: "asyncio.Future[None]"

    def let_out(self) -> None:
        """The line has let go."""
        if not self.out.done():
            self.out.set_result(None)


class Line:
    """The waiters of one run and model in this process, first come first."""

    def __init__(self, mailbox: str) -> None:
        self.mailbox = mailbox
        self.waiters: OrderedDict[Waiter, None] = OrderedDict()
        self._gone: list[Waiter] = []
        #: Asks for the waiters while there are any.
        self.server: asyncio.Task[None] | None = None
        #: Set when a waiter has gone, or the line was called up.
        self.news = asyncio.Event()
        #: Reads the mailbox. It outlives a sleep: redis-py gives a connection up when a read is
        #: cancelled, and on Python 3.11 may miss the cancellation.
        self.listening: asyncio.Task[bool] | None = None

    def first(self, most: int) -> Sequence[Waiter]:
        """The first waiters, as many as are under the same limits; at least one."""
        limits = next(iter(self.waiters)).limits
        same = itertools.takewhile(
            # Those of one group share the object: comparing models costs more than asking.
            lambda waiter: waiter.limits is limits or waiter.limits == limits,
            self.waiters,
        )
        return list(itertools.islice(same, most))

    def admit(self, waiter: Waiter) -> bool:
        """Tell a waiter that its call may leave; False if nobody is there to hear it."""
        self._gone.append(waiter)
        if waiter.answer.done():
            return False
        waiter.answer.set_result(None)
        return True

    def refuse(self, waiter: Waiter, reason: Exception) -> None:
        """Tell a waiter that its call will not leave, unless it has gone."""
        self._gone.append(waiter)
        if not waiter.answer.done():
            waiter.answer.set_exception(reason)

    def refuse_all(self, reason: Exception) -> None:
        """Tell everyone."""
        for waiter in self.waiters:
            self.refuse(waiter, reason)

    def leave(self, waiter: Waiter) -> None:
        """A waiter goes away."""
        self._gone.append(waiter)
        self.look()

    def look(self) -> None:
        """Have the server not sleep, now or when it would next."""
        self.news.set()

    def let_go(self) -> Sequence[Waiter]:
        """Take out whoever has gone."""
        gone, self._gone = self._gone, []
        for waiter in gone:
            self.waiters.pop(waiter, None)
        return gone

    def idle(self) -> bool:
        """Whether nobody waits and nothing is read."""
        return not self.waiters and all(
            task is None or task.done() for task in (self.server, self.listening)
        )


class WaitingRoom:
    """All lines of one process."""

    def __init__(
        self,
        redis: Redis,
        keys: AccountKeys,
        serve: Callable[[Line], Coroutine[Any, Any, None]],
    ) -> None:
        """``serve`` asks for a line's waiters until there are none; it never raises."""
        self._redis = redis
        self._keys = keys
        self._serve = serve
        self._lines: dict[tuple[str, str], Line] = {}
        self._numbers = itertools.count(1)
        #: Unique for this process: whose permits and reservations are ours.
        self.owner = secrets.token_hex(6)

    def join(self, waiter: Waiter) -> Line:
        """Stand at the end of the line."""
        line = self._line(waiter.ticket.run, waiter.ticket.model)
        line.waiters[waiter] = None
        if line.server is None or line.server.done():
            line.server = asyncio.create_task(self._serve(line))
        return line

    def lines(self) -> Sequence[Line]:
        """Every line in which somebody waits, or has waited lately."""
        return list(self._lines.values())

    async def sleep(self, line: Line, seconds: float) -> None:
        """Until the time is over, the mailbox has a word or the line has news."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        news = loop.create_task(line.news.wait())
        try:
            while (left := end - loop.time()) > 0 and not news.done():
                if line.listening is None:
                    line.listening = loop.create_task(self._listen(line.mailbox))
                await asyncio.wait(
                    {line.listening, news}, timeout=left, return_when=asyncio.FIRST_COMPLETED
                )
                if line.listening.done():
                    word, line.listening = line.listening.result(), None
                    if word:
                        return
        finally:
            news.cancel()
            line.news.clear()

    async def aclose(self) -> None:
        """Let go of the lines and their mailboxes."""
        tasks = [t for line in self.lines() for t in (line.server, line.listening) if t]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _line(self, run: str, model: str) -> Line:
        # Runs do not share a line: one whose budget is in other calls' hands would hold up another.
        line = self._lines.get((run, model))
        if line is None:
            self._lines = {key: kept for key, kept in self._lines.items() if not kept.idle()}
            mailbox = self._keys.mailbox(self.owner, next(self._numbers))
            line = self._lines[run, model] = Line(mailbox)
        return line

    async def _listen(self, mailbox: str) -> bool:
        try:
            return bool(await self._redis.blpop([mailbox], timeout=BLOCK_S))
        except RedisError as error:
            # Who waits asks by itself when its time is over, and hears then if Redis is gone.
            log.warning("nothing wakes the calls that wait: %s", type(error).__name__)
            await asyncio.sleep(AGAIN_S)
            return False
