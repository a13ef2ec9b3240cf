"""The governor's rates and pauses, over real time."""

import asyncio
from collections.abc import Iterator

import pytest

from shared.messages import Limits
from tests.governing import FINE, Fleet, blocked, leaves, limits, play, soon, ticket, valkey
from worker.governor import OutOfTime, Ticket


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with valkey(tmp_path_factory.mktemp("governor")) as address:
        yield address


def now() -> float:
    return asyncio.get_running_loop().time()


async def leaving_times(
    fleet: Fleet, calls: list[Ticket], allowed: Limits, for_s: float
) -> list[float]:
    """When each call left that could, spread over the fleet."""
    times: list[float] = []

    async def slot(number: int, call: Ticket) -> None:
        governor = fleet[number % len(fleet.governors)]
        try:
            await governor.admit(call, allowed, soon(for_s))
        except OutOfTime:
            return
        times.append(now())
        await governor.settle(call, FINE)

    await asyncio.gather(*(slot(n, call) for n, call in enumerate(calls)))
    return sorted(times)


def most_within(times: list[float], window_s: float) -> int:
    return max(sum(start <= time < start + window_s for time in times) for start in times)


def test_requests_keep_the_rate_in_every_window_and_use_it(url: str) -> None:
    async def scene(fleet: Fleet) -> None:
        before = await fleet.client_commands()
        calls = [ticket(n) for n in range(60)]

        times = await leaving_times(fleet, calls, limits(max_rpm=600), 1.5)

        # 10 a second, after a burst of 10: what a second allows.
        assert 23 <= len(times) <= 26
        assert sum(time < times[0] + 0.08 for time in times) == 10
        for window_s in (0.25, 0.5, 1.0):
            # A call may leave a little after the server let it.
            assert most_within(times, window_s) <= 10 * (window_s + 0.03) + 10
        assert (await fleet.client_commands() - before) / len(times) < 25

    play(url, 4, scene)


def test_a_slow_rate_has_a_burst_of_one(url: str) -> None:
    async def scene(fleet: Fleet) -> None:
        times = await leaving_times(fleet, [ticket(n) for n in range(8)], limits(max_rpm=59), 1.2)
        assert len(times) == 2
        assert times[1] - times[0] > 0.95

    play(url, 2, scene)


def test_processes_that_wait_for_the_rate_take_turns(url: str) -> None:
    async def scene(fleet: Fleet) -> None:
        order: list[int] = []

        async def slot(process: int, number: int) -> None:
            call = ticket(f"{process}/{number}")
            await fleet[process].admit(call, limits(max_rpm=3000), soon(10))
            order.append(process)
            await fleet[process].settle(call, FINE)

        # One process has many waiters, three have few.
        sizes = (100, 4, 4, 4)
        await asyncio.gather(*(slot(p, n) for p, size in enumerate(sizes) for n in range(size)))

        # After the burst of 50, where only who asks faster counts.
        for process in (1, 2, 3):
            assert max(n for n, who in enumerate(order) if who == process) < 70

    play(url, 4, scene)


def test_who_comes_later_does_not_take_the_rate_that_another_waits_for(url: str) -> None:
    async def scene(fleet: Fleet) -> None:
        slow = limits(max_rpm=30)
        await fleet[0].admit(ticket("first"), slow, soon(1))
        waiting = await blocked(fleet[1], ticket("waits"), slow)
        await fleet.redis.delete("cgrpo:governor:test:rpm")

        assert not await leaves(fleet[0], ticket("later"), slow)

        await asyncio.wait_for(waiting, 0.2)

    play(url, 2, scene)


def test_tokens_keep_their_rate_and_large_calls_leave_too(url: str) -> None:
    async def scene(fleet: Fleet) -> None:
        # 1,000 tokens a second, as many at once; calls of 250, then one larger than any burst.
        allowed = limits(max_tpm=60_000)
        times = await leaving_times(
            fleet, [ticket(n, tokens=250) for n in range(12)], allowed, 0.85
        )
        assert sum(time < times[0] + 0.08 for time in times) == 4
        assert 6 <= len(times) <= 8

        assert await leaves(fleet[0], ticket("large", tokens=1500), allowed, 1.3)
        assert not await leaves(fleet[0], ticket("next", tokens=250), allowed, 0.3)

    play(url, 2, scene)


def test_tokens_that_were_not_used_are_given_back_and_wake_who_waits_for_them(url: str) -> None:
    async def scene(fleet: Fleet) -> None:
        allowed = limits(max_tpm=60_000)
        large = ticket("large", tokens=30_000)
        await fleet[0].admit(large, allowed, soon(1))
        waiting = await blocked(fleet[1], ticket("next", tokens=500), allowed)

        await fleet[0].settle(large, FINE._replace(tokens=10))

        await asyncio.wait_for(waiting, 0.2)

    play(url, 2, scene)


def test_tokens_beyond_the_estimate_are_charged(url: str) -> None:
    async def scene(fleet: Fleet) -> None:
        allowed = limits(max_tpm=60_000)
        small = ticket("small", tokens=10)
        await fleet[0].admit(small, allowed, soon(1))
        await fleet[0].settle(small, FINE._replace(tokens=1400))

        assert not await leaves(fleet[0], ticket("next", tokens=10), allowed, 0.25)
        assert await leaves(fleet[0], ticket("later", tokens=10), allowed, 0.4)

    play(url, 1, scene)


def test_unknown_tokens_stay_at_their_estimate(url: str) -> None:
    async def scene(fleet: Fleet) -> None:
        allowed = limits(max_tpm=60_000)
        call = ticket("broken", tokens=30_000)
        await fleet[0].admit(call, allowed, soon(1))
        await fleet[0].settle(call, FINE)
        assert not await leaves(fleet[0], ticket("next"), allowed)

    play(url, 1, scene)


def test_a_pause_of_the_account_holds_every_process_and_model(url: str) -> None:
    async def scene(fleet: Fleet) -> None:
        began = now()
        await fleet[0].pause("account", "m", 0.5)
        judge = ticket("judge", model="other", role="judge")

        await asyncio.gather(
            fleet[1].admit(ticket("call"), limits(), soon(5)),
            fleet[2].admit(judge, limits(), soon(5)),
        )

        assert 0.48 < now() - began < 0.8

    play(url, 3, scene)


def test_a_pause_of_a_model_holds_that_model_only(url: str) -> None:
    async def scene(fleet: Fleet) -> None:
        await fleet[0].pause("model", "m", 0.5)

        assert await leaves(fleet[1], ticket("other", model="other"), limits())
        assert not await leaves(fleet[1], ticket("call"), limits())

    play(url, 2, scene)


def test_a_longer_pause_stays_and_no_time_is_no_pause(url: str) -> None:
    async def scene(fleet: Fleet) -> None:
        for nothing in (0.0, -3.0, float("nan")):
            await fleet[0].pause("account", "m", nothing)
        assert await leaves(fleet[0], ticket("free"), limits())

        await fleet[0].pause("account", "m", 0.6)
        await fleet[1].pause("account", "m", 0.1)
        assert not await leaves(fleet[0], ticket("held"), limits(), 0.3)

        # A server that asks for eternity gets an hour.
        await fleet[0].pause("account", "m", float("inf"))
        assert 3_500_000 < await fleet.redis.pttl("cgrpo:governor:test:pause") <= 3_605_000

    play(url, 2, scene)


def test_after_a_pause_the_herd_comes_back_one_by_one(url: str) -> None:
    async def scene(fleet: Fleet) -> None:
        await fleet.limit(40)
        times: list[float] = []

        async def slot(number: int) -> None:
            await fleet[number % 4].admit(ticket(number), limits(), soon(5))
            times.append(now())

        await fleet[0].pause("account", "m", 0.8)
        began = now() + 0.8
        await asyncio.gather(*map(slot, range(40)))

        # The limit of 40 opens over 0.2 s.
        for share in (0.25, 0.5, 0.75):
            left = sum(time < began + share * 0.2 for time in times)
            assert left <= 40 * share + 4
        assert max(times) < began + 0.5

    play(url, 4, scene)


def test_a_stop_is_heard_in_the_middle_of_a_long_pause(url: str) -> None:
    async def scene(fleet: Fleet) -> None:
        await fleet[0].pause("account", "m", 60)
        waiting = await blocked(fleet[1], ticket("call"), limits())
        began = now()

        await fleet[0].stop("lime", "unauthorized", "set a valid key")

        await asyncio.wait({waiting}, timeout=1)
        assert now() - began < 0.2
        assert str(waiting.exception()) == "set a valid key"

    play(url, 2, scene)
