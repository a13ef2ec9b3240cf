"""Functions of users that may be ``async``, called from code that is not."""

import asyncio
import inspect
from collections.abc import Awaitable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any


def settled(values: Sequence[Any]) -> list[Any]:
    """The values, those that are awaitable awaited together; also under a running event loop."""
    if not any(map(inspect.isawaitable, values)):
        return list(values)
    # A loop of its own in a thread of its own: the caller's thread may be running one already.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, _gathered(values)).result()


async def _gathered(values: Sequence[Any]) -> list[Any]:
    return list(await asyncio.gather(*map(_value, values)))


async def _value(value: Awaitable[Any] | Any) -> Any:
    return await value if inspect.isawaitable(value) else value
