"""Who waits in this process: one line per run and model, of which only the head asks Redis.

A head that may not go sleeps as long as the script says, or until its mailbox in Redis gets a word
from whoever made room. The others sleep on a lock and cost nothing.
"""

import asyncio
import itertools
import logging
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis.asyncio import Redis
from redis.exceptions import RedisError

from worker.governor.keys import AccountKeys

#: Seconds that one blocking read takes at most: less than any client's socket timeout.
BLOCK_S = 2.0
#: Seconds until a mailbox that could not be read is read again.
AGAIN_S = 1.0

log = logging.getLogger(__name__)


class Line:
    """The waiters of one run and model in this process, first come first."""

    def __init__(self, mailbox: str) -> None:
        self.mailbox = mailbox
        self.turn = asyncio.Lock()
        self.waiting = 0
        #: Reads the mailbox. It belongs to the line and outlives a waiter's sleep: redis-py gives a
        #: connection up when a read is cancelled, and on Python 3.11 may miss the cancellation.
        self.listening: asyncio.Task[bool] | None = None

    def idle(self) -> bool:
        """Whether nobody waits and nothing is read."""
        return not self.waiting and (self.listening is None or self.listening.done())


class WaitingRoom:
    """All lines of one process."""

    def __init__(self, redis: Redis, keys: AccountKeys) -> None:
        self._redis = redis
        self._keys = keys
        self._lines: dict[tuple[str, str], Line] = {}
        self._numbers = itertools.count(1)
        #: Unique for this process: whose permits and reservations are ours.
        self.owner = secrets.token_hex(6)

    @asynccontextmanager
    async def head(self, run: str, model: str) -> AsyncIterator[Line]:
        """Wait to be the head of a line, and be it inside."""
        line = self._line(run, model)
        line.waiting += 1
        try:
            async with line.turn:
                yield line
        finally:
            line.waiting -= 1

    async def sleep(self, line: Line, seconds: float) -> None:
        """Until the time is over or the mailbox has a word, whichever comes first."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while (left := end - loop.time()) > 0:
            if line.listening is None:
                line.listening = asyncio.create_task(self._listen(line.mailbox))
            heard, _ = await asyncio.wait({line.listening}, timeout=left)
            if heard:
                word, line.listening = line.listening.result(), None
                if word:
                    return

    async def aclose(self) -> None:
        """Let go of the mailboxes."""
        listening = [line.listening for line in self._lines.values() if line.listening]
        for task in listening:
            task.cancel()
        await asyncio.gather(*listening, return_exceptions=True)

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
