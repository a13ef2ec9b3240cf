"""Scripts of one loop, sent together: those that are called while others are on their way share one
round trip. A call of its own costs a client as much CPU as the script costs the server.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any

from redis.asyncio import Redis
from redis.commands.core import AsyncScript
from redis.exceptions import RedisError

#: Round trips at once. More than one, so that a distant server is no bottleneck; few, so that what
#: comes meanwhile gathers.
AT_ONCE = 2

Keys = Sequence[str]
Words = Sequence[str | int]


class Scripting:
    """Calls scripts on one client; lives on its loop."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._waiting: list[_Call] = []
        self._sending = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def script(self, text: str) -> "Script":
        """A script that is sent to the server once."""
        return Script(self, self._redis.register_script(text))

    async def all_done(self) -> None:
        """Wait for every script that was called, whoever has stopped waiting for it."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def call(self, call: "_Call") -> Any:
        """The script's answer; raises RedisError."""
        self._waiting.append(call)
        if self._sending < AT_ONCE:
            self._sending += 1
            self._begin(self._send())
        return await call.answer

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send(self) -> None:
        try:
            await self._send_all()
        finally:
            self._sending -= 1

    async def _send_all(self) -> None:
        while self._waiting:
            calls, self._waiting = self._waiting, []
            pipe = self._redis.pipeline(transaction=False)
            for call in calls:
                pipe.evalsha(call.script.sha, len(call.keys), *call.keys, *call.args)
            try:
                answers = await pipe.execute(raise_on_error=False)
            except Exception as error:
                # Whatever it is, nobody may be left waiting.
                for call in calls:
                    call.fail(error)
                continue
            for call, answer in zip(calls, answers, strict=True):
                if isinstance(answer, Exception):
                    # A script that the server does not know yet, or a server that is full for now.
                    self._begin(call.alone())
                else:
                    call.end(answer)


class Script:
    """One script."""

    def __init__(self, scripting: Scripting, script: AsyncScript) -> None:
        self._scripting = scripting
        self._script = script

    @property
    def sha(self) -> str:
        """Its name on the server."""
        return self._script.sha

    async def __call__(self, keys: Keys, args: Words) -> Any:
        """Its answer; raises RedisError."""
        return await self._scripting.call(_Call(self._script, keys, args))


class _Call:
    """A call and who waits for it, unless it was cancelled: then the script runs all the same."""

    def __init__(self, script: AsyncScript, keys: Keys, args: Words) -> None:
        self.script, self.keys, self.args = script, keys, args
        self.answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def end(self, answer: object) -> None:
        if not self.answer.done():
            self.answer.set_result(answer)

    def fail(self, error: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)

    async def alone(self) -> None:
        try:
            self.end(await self.script(keys=self.keys, args=self.args))
        except RedisError as error:
            self.fail(error)
