"""Work that runs to its end, whatever happens to who waits for it."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


class Finishing:
    """The unfinished work of one loop."""

    def __init__(self) -> None:
        self._unfinished: set[asyncio.Task[Any]] = set()

    def begin(self, work: Coroutine[Any, Any, Result]) -> "asyncio.Task[Result]":
        """Start ``work``; shield the task when you wait for it."""
        task = asyncio.create_task(work)
        self._unfinished.add(task)
        task.add_done_callback(self._forget)
        return task

    async def all_done(self) -> None:
        """Wait for everything that was begun."""
        await asyncio.gather(*self._unfinished, return_exceptions=True)

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._unfinished.discard(task)
        # Whoever waited for it may be gone: asyncio must not report the error as never read.
        if not task.cancelled():
            task.exception()
