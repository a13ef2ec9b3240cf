"""Waits that calls share, and the edge's blocks, which end in a stop."""

import asyncio
import time
from collections.abc import Iterator

import pytest
from redis import Redis

from orchestrator.budget import spending
from orchestrator.standin import Running, Settings, running
from shared.keys import RunKeys
from shared.messages import FailureKind, Limits
from tests.calling import ACCOUNT, GOOD, MODEL, asked, calling, faults, held, order, play
from tests.loopback import Behave, Request, response, serving
from worker.calls import Caller
from worker.failures import ProviderFailure
from worker.governor import Stopped
from worker.governor.keys import AccountKeys


@pytest.fixture(scope="module")
def shared() -> Iterator[Running]:
    with running() as standin:
        yield standin


@pytest.fixture
def standin(shared: Running) -> Running:
    shared.control("settings", Settings(slow_s=2, drip_s=2).model_dump(mode="json"))
    shared.control("reset", {})
    return shared


def test_one_processs_429_holds_back_another(
    empty_url: str, empty_redis: Redis, run_id: str, standin: Running
) -> None:
    order(standin, "rate_minute", "/k0/")

    async def scene() -> None:
        async with (
            calling(empty_url, standin.base_url) as first,
            calling(empty_url, standin.base_url) as second,
        ):
            began = time.monotonic()
            limited = asyncio.create_task(first.ask(asked(run_id, 0)))
            while not faults(empty_redis, run_id):
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.05)
            await second.ask(asked(run_id, 1))
            # The reset that was named is a second after the refusal.
            assert time.monotonic() - began > 0.9
            assert (await limited).attempts == 2

    asyncio.run(scene())
    assert spending(empty_redis, run_id).calls["generate"] == 3


def test_a_slot_whose_time_runs_out_before_its_call_may_leave_is_rate_limited(
    empty_url: str, empty_redis: Redis, run_id: str, standin: Running
) -> None:
    standin.control("settings", {"retry_after_s": 600})
    order(standin, "in_flight", "/k0/", times=None)

    async def scene(caller: Caller) -> None:
        with pytest.raises(ProviderFailure) as failed:
            await caller.ask(asked(run_id, 0, slot_timeout_s=2))
        assert (failed.value.kind, failed.value.attempts) == (FailureKind.RATE_LIMITED, 1)
        with pytest.raises(ProviderFailure) as failed:
            await caller.ask(asked(run_id, 1, slot_timeout_s=0.1))
        assert (failed.value.kind, failed.value.attempts) == (FailureKind.RATE_LIMITED, 0)

    play(empty_url, standin.base_url, scene)
    assert standin.control("received")["count"] == 1
    assert held(empty_redis, run_id) == (0, 0)


def blocked_then_fine(blocks: int, retry_after_s: int, together: int = 1) -> Behave:
    """The edge's page to the first requests, so many at the same time; then answers."""
    waiting: list[asyncio.Event] = []

    async def behave(writer: asyncio.StreamWriter, request: Request) -> None:
        number, all_there = len(waiting), asyncio.Event()
        waiting.append(all_there)
        if number < blocks:
            if len(waiting) % together == 0:
                for event in waiting:
                    event.set()
            await all_there.wait()
            head = f"Retry-After: {retry_after_s}\r\n"
            writer.write(response(b"<html>blocked</html>", "403 Forbidden", head=head))
        else:
            writer.write(response(GOOD))
        await writer.drain()

    return behave


def test_the_fourth_block_in_a_row_by_the_edge_stops_the_run(
    empty_url: str, empty_redis: Redis, run_id: str
) -> None:
    async def scene() -> None:
        async with (
            serving(blocked_then_fine(99, retry_after_s=0)) as server,
            calling(empty_url, server.url) as caller,
        ):
            with pytest.raises(Stopped) as stopped:
                await caller.ask(asked(run_id))
            assert stopped.value.stop.kind == "blocked"
            assert len(server.received) == 4

    asyncio.run(scene())
    assert faults(empty_redis, run_id) == {"html_403": 4}
    assert "blocked" in str(empty_redis.get(RunKeys(run_id).stop))


def test_three_blocks_and_then_an_answer_stop_nothing_and_the_count_begins_anew(
    empty_url: str, empty_redis: Redis, run_id: str
) -> None:
    async def scene() -> None:
        async with (
            serving(blocked_then_fine(3, retry_after_s=0)) as server,
            calling(empty_url, server.url) as caller,
        ):
            assert (await caller.ask(asked(run_id, 0))).attempts == 4
            server.behave = blocked_then_fine(3, retry_after_s=0)
            assert (await caller.ask(asked(run_id, 1))).attempts == 4

    asyncio.run(scene())
    assert empty_redis.get(RunKeys(run_id).stop) is None


def test_one_block_of_many_calls_at_the_same_time_is_one_wait(
    empty_url: str, empty_redis: Redis, run_id: str
) -> None:
    async def scene() -> None:
        async with (
            serving(blocked_then_fine(4, retry_after_s=1, together=4)) as server,
            calling(empty_url, server.url) as caller,
        ):
            replies = await asyncio.gather(*(caller.ask(asked(run_id, k)) for k in range(4)))
            assert {reply.attempts for reply in replies} == {2}

    asyncio.run(scene())
    assert faults(empty_redis, run_id) == {"html_403": 4}


def test_a_429_now_and_then_does_not_wear_the_concurrency_down(
    empty_url: str, empty_redis: Redis, run_id: str, standin: Running
) -> None:
    standin.control("settings", {"latency_ms": 20, "retry_after_s": 0})
    # A provider's shared pool is busy with others: one call in eighty, whatever we do.
    standin.control("faults", {"script": [*[None] * 79, "rate_upstream"] * 10})

    async def scene(caller: Caller) -> None:
        asks = [asked(run_id, slot, limits=Limits(max_inflight=64)) for slot in range(800)]
        await asyncio.gather(*map(caller.ask, asks))

    play(empty_url, standin.base_url, scene)
    assert faults(empty_redis, run_id) == {"rate_upstream": 10}
    limit = empty_redis.hget(AccountKeys(ACCOUNT).adaptive(MODEL), "limit")
    assert int(str(limit)) >= 32
