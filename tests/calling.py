"""A caller of models as a worker process has it, on a real server, for tests of one loop."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Literal

from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from orchestrator.budget import Spending, spending
from orchestrator.standin import DEFAULT_KEY, Running
from shared.messages import ChatMessage, Limits, Price, Sampling
from shared.wire.client import ChatClient
from shared.wire.requests import chat_body
from tests.standin_calls import MODEL
from worker.calls import Ask, Caller, Role
from worker.governor import Governor
from worker.governor.keys import AccountKeys, LedgerKeys
from worker.scripting import Scripting
from worker.slots import GroupTask, Held

ACCOUNT = "test"
#: What the stand-in's plain models cost.
PRICE = Price(prompt_usd=100e-9, completion_usd=300e-9)
MESSAGE = ChatMessage(role="user", content="Explain superposition.")
#: An answer as a plain endpoint gives it, and the same with a cost.
PLAIN: dict[str, Any] = {
    "id": "gen-1",
    "model": MODEL,
    "choices": [{"finish_reason": "stop", "message": {"role": "assistant", "content": "ok"}}],
    "usage": {"prompt_tokens": 30, "completion_tokens": 10},
}
GOOD = json.dumps(PLAIN | {"usage": PLAIN["usage"] | {"cost": 6e-06}}).encode()


@asynccontextmanager
async def calling(redis_url: str, base_url: str) -> AsyncIterator[Caller]:
    """One process's caller, with connections of its own."""
    redis = AsyncRedis.from_url(redis_url, decode_responses=True, socket_timeout=10)
    governor, client = Governor(redis, Scripting(redis), ACCOUNT), ChatClient(base_url, DEFAULT_KEY)
    try:
        yield Caller(redis, governor, client)
    finally:
        await client.aclose()
        await governor.aclose()
        await redis.aclose()


def play(redis_url: str, base_url: str, scene: Callable[[Caller], Awaitable[None]]) -> None:
    """Run ``scene`` with a caller."""

    async def run() -> None:
        async with calling(redis_url, base_url) as caller:
            await scene(caller)

    asyncio.run(run())


def sampling(**more: Any) -> Sampling:
    """How a model of the stand-in is asked."""
    usual = {"provider": "openrouter", "model": MODEL, "max_tokens": 300, "price": PRICE}
    return Sampling(**{**usual, **more})


def asked(
    run: str,
    slot: int = 0,
    role: Role = "generate",
    limits: Limits | None = None,
    **more: Any,
) -> Ask:
    """A slot's request; its body holds ``/k<slot>/``."""
    how = sampling(**more)
    name = f"{run}/s001/e001/k{slot}/{role}"
    body = chat_body([MESSAGE], how, rollout=name, run=run, seed=None, schema=None)
    return Ask(name, role, body, how, limits or Limits(), holding(run))


def holding(run: str, role: Literal["generate", "score"] = "generate", **slots: str) -> Held:
    """A group as a worker has it in hand."""
    return Held(GroupTask(run, 1, "e001", role, 1), "tester attempt 1 #0", "", slots)


def billed_nusd(standin: Running) -> int:
    """What the stand-in has billed, in 1e-9 USD."""
    return int(standin.control("ledger?generations=0")["total_nano_usd"])


def spent_nusd(spent: Spending, kind: str = "spent") -> int:
    """A kind of money over all roles, in 1e-9 USD, as the ledger counts."""
    return sum(round(dollars * 1e9) for dollars in getattr(spent, kind).values())


def assert_equal_to_the_last_nano_dollar(redis: Redis, run: str, standin: Running) -> None:
    """Our ledger says what the stand-in's does, and nothing is doubtful or held."""
    spent = spending(redis, run)
    assert spent_nusd(spent) == billed_nusd(standin) > 0
    assert spent_nusd(spent, "perhaps") == spent_nusd(spent, "estimated") == 0
    assert sum(spent.unknown.values()) == 0
    assert held(redis, run) == (0, 0)


def held(redis: Redis, run: str) -> tuple[int, int]:
    """Permits and reservations that nobody has given back."""
    return redis.zcard(AccountKeys(ACCOUNT).permits), redis.hlen(LedgerKeys(run).reservations)


def order(standin: Running, fault: str, body: str = "", times: int | None = 1) -> None:
    """A fault for the next requests whose body holds ``body``; always if ``times`` is None."""
    standin.control("faults", {"matches": [{"fault": fault, "body": body, "times": times}]})


def faults(redis: Redis, run: str) -> dict[str, int]:
    """The faults that our calls have met."""
    return spending(redis, run).faults
