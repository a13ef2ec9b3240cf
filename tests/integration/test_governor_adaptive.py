"""Adaptive concurrency: grows while clear and used, cuts when told, finds what a server bears."""

import asyncio
from collections.abc import Iterator

import pytest

from shared.messages import Limits
from tests.governing import (
    FINE,
    RUN,
    SERVER_ERROR,
    THROTTLED,
    Fleet,
    blocked,
    limits,
    play,
    soon,
    ticket,
    valkey,
)
from tests.processes import PATIENCE_S
from worker.governor import Settlement
from worker.governor.governor import FIRST_LIMIT
from worker.governor.keys import LedgerKeys

COOL_DOWN_S = 0.1
STATE = "cgrpo:governor:test:adaptive:m"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with valkey(tmp_path_factory.mktemp("governor")) as address:
        yield address


async def window(
    fleet: Fleet, name: str, calls: int, ends: Settlement, allowed: Limits | None = None
) -> None:
    """So many calls at once, all of which leave before any comes back."""
    tickets = [ticket(f"{name}/{n}") for n in range(calls)]
    for call in tickets:
        await fleet[0].admit(call, allowed or limits(), soon(PATIENCE_S))
    for call in tickets:
        await fleet[0].settle(call, ends)


async def moment_us(fleet: Fleet, at_s: float) -> int:
    seconds, rest_us = await fleet.redis.time()
    return int(seconds) * 1_000_000 + int(rest_us) + int(at_s * 1e6)


async def cut(fleet: Fleet, at_s: float) -> None:
    """Have the last cut be so many seconds after now; a test need not be quick, nor wait."""
    await fleet.redis.hset(STATE, "cut_us", await moment_us(fleet, at_s))


async def left(fleet: Fleet, at_s: float) -> None:
    """Have all calls in flight have left so many seconds after now."""
    key = LedgerKeys(RUN).reservations
    for call, held in (await fleet.redis.hgetall(key)).items():
        role, ceiling, _, *rest = held.split(" ")
        moved = " ".join([role, ceiling, str(await moment_us(fleet, at_s)), *rest])
        await fleet.redis.hset(key, call, moved)


def test_the_limit_doubles_with_every_full_window_that_comes_back_well(url: str) -> None:
    async def scene(fleet: Fleet) -> None:
        await window(fleet, "first", FIRST_LIMIT, FINE)
        assert await fleet.learnt() == 2 * FIRST_LIMIT
        await window(fleet, "second", 2 * FIRST_LIMIT, FINE)
        assert await fleet.learnt() == 4 * FIRST_LIMIT
        # Never above what the run allows.
        await window(fleet, "third", 4 * FIRST_LIMIT, FINE, limits(max_inflight=20))
        assert await fleet.learnt() == 20
        await window(fleet, "fourth", 20, FINE, limits(max_inflight=20))
        assert await fleet.learnt() == 20

    play(url, 1, scene)


def test_before_anything_is_known_few_calls_leave(url: str) -> None:
    async def scene(fleet: Fleet) -> None:
        for number in range(FIRST_LIMIT):
            await fleet[0].admit(ticket(number), limits(), soon(PATIENCE_S))
        await blocked(fleet[0], ticket("more"), limits())

    play(url, 1, scene)


@pytest.mark.parametrize(
    "ends", [SERVER_ERROR, FINE._replace(fault="bad_request")], ids=["server error", "reject"]
)
def test_other_answers_neither_raise_nor_cut_the_limit(url: str, ends: Settlement) -> None:
    async def scene(fleet: Fleet) -> None:
        await fleet.limit(10)
        await window(fleet, "calls", 10, ends)
        assert await fleet.learnt() == 10

    play(url, 1, scene)


def test_a_limit_that_is_not_used_does_not_grow(url: str) -> None:
    async def scene(fleet: Fleet) -> None:
        await fleet.limit(10)
        await window(fleet, "calls", 8, FINE)
        assert await fleet.learnt() == 10

    play(url, 1, scene)


def test_one_window_of_throttled_calls_cuts_once_and_later_ones_again(url: str) -> None:
    async def scene(fleet: Fleet) -> None:
        await fleet.limit(20)
        await window(fleet, "first", 20, THROTTLED)
        # The first to come back had left alone: a cut is made from half the limit at least.
        assert await fleet.learnt() == 7

        # These left after the cut, but come back too soon after it.
        calls = [ticket(f"second/{n}") for n in range(7)]
        for call in calls:
            await fleet[0].admit(call, limits(), soon(PATIENCE_S))
        await cut(fleet, 1800)
        await left(fleet, 3600)
        for call in calls:
            await fleet[0].settle(call, THROTTLED)
        assert await fleet.learnt() == 7

        await cut(fleet, -COOL_DOWN_S)
        await window(fleet, "third", 7, THROTTLED)
        assert await fleet.learnt() == 2

    play(url, 1, scene)


def test_refusals_among_many_good_answers_are_no_reason_to_cut(url: str) -> None:
    async def scene(fleet: Fleet) -> None:
        await fleet.limit(20)
        for turn in range(5):
            calls = [ticket(f"{turn} {n}") for n in range(20)]
            for call in calls:
                await fleet[0].admit(call, limits(), soon(PATIENCE_S))
            for at, call in enumerate(calls):
                await fleet[0].settle(call, THROTTLED if at == 4 else FINE)
            await asyncio.sleep(COOL_DOWN_S)
        assert await fleet.learnt() >= 20

    play(url, 1, scene)


def test_what_left_before_the_last_cut_does_not_cut_again_however_late_it_comes(url: str) -> None:
    async def scene(fleet: Fleet) -> None:
        await fleet.limit(20)
        calls = [ticket(n) for n in range(20)]
        for call in calls:
            await fleet[0].admit(call, limits(), soon(PATIENCE_S))
        # One refusal alone is no reason, two are.
        await fleet[0].settle(calls[19], THROTTLED)
        assert await fleet.learnt() == 20
        await fleet[0].settle(calls[18], THROTTLED)
        assert await fleet.learnt() == 14
        await asyncio.sleep(COOL_DOWN_S + 0.05)

        assert await fleet.redis.hget(STATE, "ceiling") == "18"
        for call in calls[17::-1]:
            await fleet[0].settle(call, THROTTLED)

        # They show only up to where it may grow back: not even to 18.
        assert await fleet.learnt() == 14
        assert await fleet.redis.hget(STATE, "ceiling") == "14"

    play(url, 1, scene)


def test_the_limit_never_falls_below_one(url: str) -> None:
    async def scene(fleet: Fleet) -> None:
        await fleet.limit(2)
        for number in range(3):
            await window(fleet, f"{number}", 1, THROTTLED)
            await asyncio.sleep(COOL_DOWN_S)
        assert await fleet.learnt() == 1
        await fleet[0].admit(ticket("still"), limits(), soon(PATIENCE_S))

    play(url, 1, scene)


def test_after_a_cut_it_grows_by_one_up_to_what_was_too_much_and_waits_there(url: str) -> None:
    async def scene(fleet: Fleet) -> None:
        # Cut a moment ago: 6 were too many.
        moment = int((await fleet.redis.time())[0]) * 1_000_000
        await fleet.limit(3, cut_us=moment, ceiling=5, hold_us=30_000_000)
        for expected in (4, 5, 5):
            await window(fleet, f"to {expected}", await fleet.learnt(), FINE)
            assert await fleet.learnt() == expected

        # The hold is over: it tries one more.
        await fleet.limit(5, cut_us=moment - 31_000_000)
        await window(fleet, "probe", 5, FINE)
        assert await fleet.learnt() == 6

        # Which is too much once again, and again: the next hold is twice as long.
        for number in range(6):
            await fleet[0].admit(ticket(number), limits(), soon(PATIENCE_S))
        await fleet[0].settle(ticket(5), THROTTLED)
        assert await fleet.learnt() == 6
        await fleet[0].admit(ticket(6), limits(), soon(PATIENCE_S))
        await fleet[0].settle(ticket(6), THROTTLED)
        assert await fleet.redis.hmget(STATE, "limit", "ceiling", "hold_us") == [
            "5",
            "5",
            "60000000",
        ]

    play(url, 1, scene)


def test_what_one_model_bears_says_nothing_about_another(url: str) -> None:
    async def scene(fleet: Fleet) -> None:
        await fleet.limit(10)
        for number in range(2):
            judge = ticket(f"judge {number}", model="judge")
            await fleet[0].admit(judge, limits(), soon(PATIENCE_S))
            await fleet[0].settle(judge, THROTTLED)
        assert await fleet.learnt() == 10
        assert await fleet.learnt("judge") == 1

    play(url, 1, scene)


async def wave(fleet: Fleet, name: str, bears: int) -> int:
    """As many calls as may leave, to a server that bears so many; how many it refused."""
    size = await fleet.learnt()
    calls = [ticket(f"{name}/{n}") for n in range(size)]
    for call in calls:
        await fleet[0].admit(call, limits(max_inflight=200), soon(PATIENCE_S))
    # Refusals come back at once, answers take their time.
    for call in calls[bears:]:
        await fleet[0].settle(call, THROTTLED)
    for call in calls[:bears]:
        await fleet[0].settle(call, FINE)
    await cut(fleet, -COOL_DOWN_S)
    return max(0, size - bears)


def test_it_settles_at_what_a_server_bears(url: str) -> None:
    async def scene(fleet: Fleet) -> None:
        bears = 12
        await fleet.limit(FIRST_LIMIT)
        refused = [await wave(fleet, str(number), bears) for number in range(30)]

        assert sum(refused[5:]) <= 0.02 * bears * len(refused[5:])
        assert bears - 2 <= await fleet.learnt() <= bears + 1

    play(url, 1, scene)
