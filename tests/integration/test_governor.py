"""The governor's permits: never too many, none lost, nobody forgotten, nobody polls."""

import asyncio
import random
from collections.abc import Iterator
from typing import Any

import pytest

from shared.keys import RunKeys
from tests.governing import FINE, RUN, Fleet, blocked, leaves, limits, play, soon, ticket, valkey
from tests.processes import PATIENCE_S
from worker.governor import OutOfTime, Stop, Stopped, turnstile

WAITERS = 60
PERMITS = "cgrpo:governor:test:permits"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with valkey(tmp_path_factory.mktemp("governor")) as address:
        yield address


@pytest.fixture(autouse=True)
def nobody_asks_again_unwoken(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that whoever leaves after a wait was woken, or its own time had come."""
    monkeypatch.setattr(turnstile, "LONGEST_WAIT_S", 10 * PATIENCE_S)


@pytest.mark.parametrize("processes", [1, 4])
def test_never_more_in_flight_than_allowed_and_few_commands_for_sixty_waiters(
    url: str, processes: int
) -> None:
    async def scene(fleet: Fleet) -> None:
        await fleet.limit(8)
        at_once, most, each = 0, 0, 4
        before = await fleet.client_commands()

        async def slot(number: int) -> None:
            nonlocal at_once, most
            for attempt in range(each):
                call = ticket(f"{number}/{attempt}")
                await fleet[number % processes].admit(
                    call, limits(max_inflight=8), soon(PATIENCE_S)
                )
                at_once += 1
                most = max(most, at_once)
                await asyncio.sleep(random.uniform(0.02, 0.06))
                at_once -= 1
                await fleet[number % processes].settle(call, FINE)

        await asyncio.gather(*map(slot, range(WAITERS)))

        sent = await fleet.client_commands() - before
        assert most == 8
        assert sent / (WAITERS * each) < 8
        assert await fleet.redis.exists(PERMITS, f"{PERMITS}:m", "cgrpo:governor:test:line") == 0

    play(url, processes, scene)


def test_waiters_of_one_process_leave_in_the_order_in_which_they_came(url: str) -> None:
    async def scene(fleet: Fleet) -> None:
        order: list[int] = []

        async def slot(number: int) -> None:
            await fleet[0].admit(ticket(number), limits(max_inflight=1), soon(PATIENCE_S))
            order.append(number)
            await fleet[0].settle(ticket(number), FINE)

        await asyncio.gather(*map(slot, range(30)))
        assert order == list(range(30))

    play(url, 1, scene)


def test_a_process_with_one_waiter_is_not_starved_by_a_busy_one(url: str) -> None:
    async def scene(fleet: Fleet) -> None:
        order: list[str] = []

        async def slot(process: int, name: str) -> None:
            await fleet[process].admit(ticket(name), limits(max_inflight=1), soon(PATIENCE_S))
            order.append(name)
            await asyncio.sleep(0.01)
            await fleet[process].settle(ticket(name), FINE)

        busy = [asyncio.create_task(slot(0, f"busy{n}")) for n in range(30)]
        while not order:
            await asyncio.sleep(0)
        lonely = await blocked(fleet[1], ticket("lonely"), limits(max_inflight=1))
        before = len(order)
        await lonely
        passed = len(order) - before
        await fleet[1].settle(ticket("lonely"), FINE)
        await asyncio.gather(*busy)

        # Only the one in flight and the one in line go before it.
        assert passed <= 3

    play(url, 2, scene)


def test_a_permit_that_is_given_back_wakes_a_waiter_of_another_process(url: str) -> None:
    async def scene(fleet: Fleet) -> None:
        one = limits(max_inflight=1)
        await fleet[0].admit(ticket("first"), one, soon(PATIENCE_S))
        waiting = await blocked(fleet[1], ticket("second"), one)

        await fleet[0].settle(ticket("first"), FINE)

        await asyncio.wait_for(waiting, PATIENCE_S)

    play(url, 2, scene)


def test_one_settlement_that_makes_room_for_many_wakes_many(url: str) -> None:
    async def scene(fleet: Fleet) -> None:
        await fleet.limit(1)
        await fleet[0].admit(ticket("first"), limits(), soon(PATIENCE_S))
        waiting = [await blocked(fleet[n], ticket(n), limits()) for n in range(4)]

        await fleet.limit(4)
        await fleet[0].settle(ticket("first"), FINE)

        await asyncio.wait_for(asyncio.gather(*waiting), PATIENCE_S)

    play(url, 4, scene)


def test_the_permit_of_a_dead_worker_comes_back_when_its_lifetime_is_over(url: str) -> None:
    async def scene(fleet: Fleet) -> None:
        one = limits(max_inflight=1)
        began = asyncio.get_running_loop().time()
        await fleet[0].admit(ticket("dead", lifetime_s=0.4), one, soon(PATIENCE_S))

        await fleet[1].admit(ticket("next"), one, soon(PATIENCE_S))

        assert asyncio.get_running_loop().time() - began > 0.39

    play(url, 2, scene)


def test_models_have_permits_of_their_own_below_the_limit_of_the_account(url: str) -> None:
    async def scene(fleet: Fleet) -> None:
        await fleet.limit(1, "m")
        await fleet.limit(1, "judge")
        judge = ticket("j1", model="judge", role="judge")
        await fleet[0].admit(ticket("g1"), limits(max_inflight=2), soon(PATIENCE_S))
        waiting = await blocked(fleet[0], ticket("g2"), limits(max_inflight=2))
        await fleet[0].admit(judge, limits(max_inflight=2), soon(PATIENCE_S))
        other = ticket("o1", model="other")
        assert not await leaves(fleet[1], other, limits(max_inflight=2))

        # The judge's permit is of no use to a call that waits for its own model.
        await fleet[0].settle(judge, FINE)
        assert not waiting.done()
        await fleet[1].admit(other, limits(max_inflight=2), soon(PATIENCE_S))
        await fleet[1].settle(other, FINE)
        await fleet[0].settle(ticket("g1"), FINE)
        await asyncio.wait_for(waiting, PATIENCE_S)

    play(url, 2, scene)


def test_a_cancelled_waiter_leaves_nothing_behind(url: str) -> None:
    async def scene(fleet: Fleet) -> None:
        budget = limits(max_inflight=3, max_cost_usd=1.0)
        calls = [ticket(n, ceiling_nusd=1000) for n in range(40)]
        for moment in range(25):
            waiting = [
                asyncio.create_task(fleet[n % 2].admit(call, budget, soon(PATIENCE_S)))
                for n, call in enumerate(calls)
            ]
            await asyncio.sleep(moment * 0.0004)
            for task in waiting:
                task.cancel()
            ends = await asyncio.gather(*waiting, return_exceptions=True)
            for n, (call, end) in enumerate(zip(calls, ends, strict=True)):
                if end is None:
                    await fleet[n % 2].settle(call, FINE)
            assert any(isinstance(end, asyncio.CancelledError) for end in ends)

        left = await fleet.redis.keys("*:permits*") + await fleet.redis.keys("*reserv*")
        assert left == []
        assert not await fleet.redis.exists("cgrpo:governor:test:line")
        assert set(await fleet.money()) <= {"calls:generate"}

    play(url, 2, scene)


def test_a_waiter_that_is_cancelled_as_it_is_admitted_gives_its_permit_to_the_next(
    url: str,
) -> None:
    async def scene(fleet: Fleet) -> None:
        one = limits(max_inflight=1)
        for governor in fleet.governors:
            await governor.admit(ticket("warm"), one, soon(PATIENCE_S))
            await governor.settle(ticket("warm"), FINE)
        # Both asks are under way, the first one's will be granted, and its answer is not heard.
        await fleet.redis.client_pause(1000, all=True)
        first = asyncio.create_task(
            fleet[0].admit(ticket("a", ceiling_nusd=7), one, soon(PATIENCE_S))
        )
        await asyncio.sleep(0.05)
        second = asyncio.create_task(fleet[1].admit(ticket("b"), one, soon(PATIENCE_S)))
        await asyncio.sleep(0.05)
        first.cancel()

        await asyncio.wait({first})
        assert first.cancelled()
        await asyncio.wait_for(second, PATIENCE_S)
        assert await fleet.redis.zrange(PERMITS, 0, -1) == ["b"]
        assert "reserved:generate" not in await fleet.money()

    play(url, 2, scene)


def test_who_comes_later_does_not_take_the_permit_that_another_waits_for(url: str) -> None:
    async def scene(fleet: Fleet) -> None:
        one = limits(max_inflight=1)
        await fleet[0].admit(ticket("first"), one, soon(PATIENCE_S))
        waiting = await blocked(fleet[1], ticket("waits"), one)
        # As if the first call had ended and the one that waits had not yet heard of it.
        await fleet.redis.delete(PERMITS, f"{PERMITS}:m")

        assert not await leaves(fleet[0], ticket("later"), one)

        await asyncio.wait_for(waiting, PATIENCE_S)

    play(url, 2, scene)


def test_whoever_is_behind_a_cancelled_head_takes_its_turn(url: str) -> None:
    async def scene(fleet: Fleet) -> None:
        one = limits(max_inflight=1)
        await fleet[0].admit(ticket("first"), one, soon(PATIENCE_S))
        gives_up = await blocked(fleet[0], ticket("gives up"), one)
        behind = await blocked(fleet[0], ticket("behind"), one)
        elsewhere = await blocked(fleet[1], ticket("elsewhere"), one)

        gives_up.cancel()
        await asyncio.wait({gives_up})
        await fleet[0].settle(ticket("first"), FINE)

        await asyncio.wait_for(behind, PATIENCE_S)
        assert not elsewhere.done()
        await fleet[0].settle(ticket("behind"), FINE)
        await asyncio.wait_for(elsewhere, PATIENCE_S)

    play(url, 2, scene)


def test_an_answer_lost_on_its_way_is_given_again(url: str) -> None:
    async def scene(fleet: Fleet) -> None:
        call = ticket("once", ceiling_nusd=70)
        for _ in range(2):
            await fleet[0].admit(call, limits(max_inflight=1), soon(PATIENCE_S))

        assert await fleet.redis.zcard(PERMITS) == 1
        assert await fleet.money() == {"reserved:generate": 70}

    play(url, 1, scene)


def test_at_the_deadline_a_waiter_is_out_of_time(url: str) -> None:
    async def scene(fleet: Fleet) -> None:
        one = limits(max_inflight=1)
        await fleet[0].admit(ticket("first"), one, soon(PATIENCE_S))
        began = asyncio.get_running_loop().time()

        with pytest.raises(OutOfTime, match="deadline"):
            await fleet[0].admit(ticket("late"), one, soon(0.2))

        assert asyncio.get_running_loop().time() - began > 0.19
        assert await fleet.redis.zcard(PERMITS) == 1
        with pytest.raises(OutOfTime):
            await fleet[0].admit(ticket("later"), limits(), soon(-1))

    play(url, 1, scene)


def test_a_stop_reaches_every_waiter_of_the_run(url: str) -> None:
    async def scene(fleet: Fleet) -> None:
        one = limits(max_inflight=1)
        await fleet[0].admit(ticket("first"), one, soon(PATIENCE_S))
        waiting: list[asyncio.Task[Any]] = [
            asyncio.create_task(fleet[n % 4].admit(ticket(n), one, soon(PATIENCE_S)))
            for n in range(WAITERS)
        ]
        other_run = await blocked(fleet[1], ticket("other", run="other"), one)
        assert await fleet[2].stopped(RUN) is None

        await fleet[0].stop(RUN, "credits", "buy credits")
        await fleet[1].stop(RUN, "budget", "comes second")

        ends = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), PATIENCE_S)
        assert {str(end) for end in ends} == {"buy credits"}
        assert all(isinstance(end, Stopped) for end in ends)
        assert await fleet[2].stopped(RUN) == Stop("credits", "buy credits")
        entries = await fleet.redis.xrange(RunKeys(RUN).events)
        assert [entry for _, entry in entries] == [{"stop": "credits", "sentence": "buy credits"}]
        with pytest.raises(Stopped):
            await fleet[3].admit(ticket("new"), limits(), soon(PATIENCE_S))
        assert not other_run.done()
        await fleet[0].settle(ticket("first"), FINE)
        await asyncio.wait_for(other_run, PATIENCE_S)

    play(url, 4, scene)
