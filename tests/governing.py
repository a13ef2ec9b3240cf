"""A fleet of governors on a real server, and calls for them to govern."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from redis.asyncio import Redis

from orchestrator.embedded import Embedded
from shared.keys import RunKeys
from shared.messages import Limits
from tests.processes import PATIENCE_S
from tests.running import ROOT
from worker.governor import Governor, Settlement, Ticket
from worker.scripting import Scripting

RUN = "lime"
FINE = Settlement(0, 0, "no", None, False, None)
THROTTLED = Settlement(None, 0, "no", None, True, "")
SERVER_ERROR = Settlement(None, 0, "no", None, False, "")

#: What the governor's scripts call; whatever else the server counts was sent by a client.
CALLED_BY_SCRIPTS = {
    name.lower()
    for path in (ROOT / "worker" / "governor").glob("*.lua")
    for name in re.findall(r"redis\.call\('(\w+)'", path.read_text(encoding="utf-8"))
}


@contextmanager
def valkey(folder: Path) -> Iterator[str]:
    """The address of a server of its own."""
    with Embedded(folder / "state", folder / "logs", workers=0, groups=1) as cluster:
        yield cluster.url


class Fleet(NamedTuple):
    """Governors with a client each, as in as many processes."""

    governors: Sequence[Governor]
    redis: Redis

    def __getitem__(self, number: int) -> Governor:  # type: ignore[override]
        return self.governors[number]

    async def money(self, run: str = RUN) -> dict[str, int]:
        """The run's books, without what is 0."""
        found = await self.redis.hgetall(RunKeys(run).money)
        return {name: int(amount) for name, amount in found.items() if int(amount)}

    async def client_commands(self) -> int:
        """Commands that clients have sent so far, whatever ran inside of scripts left out."""
        stats = await self.redis.info("commandstats")
        counts = {name.removeprefix("cmdstat_"): stat["calls"] for name, stat in stats.items()}
        return sum(n for name, n in counts.items() if name not in CALLED_BY_SCRIPTS | {"info"})

    async def limit(self, value: int, model: str = "m", **state: int) -> None:
        """Set what is learnt of a model."""
        key = f"cgrpo:governor:test:adaptive:{model}"
        await self.redis.hset(key, mapping={"limit": value, **state})

    async def learnt(self, model: str = "m") -> int:
        """The model's adaptive limit."""
        return int(await self.redis.hget(f"cgrpo:governor:test:adaptive:{model}", "limit"))


@asynccontextmanager
async def fleet(url: str, size: int) -> AsyncIterator[Fleet]:
    """``size`` governors of one account on an empty database."""
    clients = [Redis.from_url(url, decode_responses=True) for _ in range(size + 1)]
    await clients[-1].flushdb()
    governors = [Governor(client, Scripting(client), "test") for client in clients[:size]]
    try:
        yield Fleet(governors, clients[-1])
    finally:
        for governor in governors:
            await governor.aclose()
        for client in clients:
            await client.aclose()


def play(url: str, size: int, scene: Callable[[Fleet], Awaitable[None]]) -> None:
    """Run ``scene`` with a fleet of ``size``."""

    async def run() -> None:
        async with fleet(url, size) as governors:
            await scene(governors)

    asyncio.run(run())


def ticket(call: object, **changes: Any) -> Ticket:
    """A call of run "lime" to model "m"."""
    made = Ticket(str(call), RUN, "m", "generate", tokens=100, ceiling_nusd=0, lifetime_s=60.0)
    return made._replace(**changes)


def limits(**changes: Any) -> Limits:
    """No limit but a high number of calls at once."""
    return Limits(**{"max_inflight": 64, **changes})


def soon(seconds: float) -> float:
    """A deadline."""
    return asyncio.get_running_loop().time() + seconds


async def leaves(governor: Governor, call: Ticket, allowed: Limits) -> bool:
    """Whether the call may leave at once; one that may not gives up."""
    waiting = await _asked(governor, call, allowed)
    if waiting.done():
        await waiting
        return True
    waiting.cancel()
    await asyncio.wait({waiting})
    return False


async def blocked(governor: Governor, call: Ticket, allowed: Limits) -> "asyncio.Task[None]":
    """The call as it waits for its turn."""
    waiting = await _asked(governor, call, allowed)
    assert not waiting.done()
    return waiting


async def _asked(governor: Governor, call: Ticket, allowed: Limits) -> "asyncio.Task[None]":
    """The call once the server has answered: it has left, or its line has a place."""
    waiting = asyncio.create_task(governor.admit(call, allowed, soon(PATIENCE_S)))
    while not waiting.done() and not await _has_a_place(governor, call):
        await asyncio.sleep(0.002)
    return waiting


async def _has_a_place(governor: Governor, call: Ticket) -> bool:
    for line in governor._turnstile._room.lines():
        if call in (waiter.ticket for waiter in line.waiters):
            return bool(await governor._redis.hexists(governor._keys.line, line.mailbox))
    return False
