"""The governor's rates and pauses, over real time."""

import asyncio
import json
from collections.abc import Iterator

import pytest
from redis.asyncio import Redis

from orchestrator.embedded import connect
from orchestrator.group_store import GroupStore
from shared.messages import Limits
from tests.governing import FINE, RUN, Fleet, blocked, leaves, limits, play, soon, ticket, valkey
from tests.processes import PATIENCE_S
from worker.governor import Stopped, Ticket


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with valkey(tmp_path_factory.mktemp("governor")) as address:
        yield address


def now() -> float:
    return asyncio.get_running_loop().time()


async def leaving_times(fleet: Fleet, calls: list[Ticket], allowed: Limits) -> list[float]:
    """Seconds from before the first ask until each call had left, spread over the fleet.

    A call leaves on the server before it hears of it here: the times can be late and never early.
    """
    began, times = now(), list[float]()

    async def slot(number: int, call: Ticket) -> None:
        governor = fleet[number % len(fleet.governors)]
        await governor.admit(call, allowed, soon(PATIENCE_S))
        times.append(now() - began)
        await governor.settle(call, FINE)

    await asyncio.gather(*(slot(n, call) for n, call in enumerate(calls)))
    return sorted(times)


def test_requests_never_leave_before_the_rate_allows_it(url: str) -> None:
    async def scene(fleet: Fleet) -> None:
        calls = [ticket(n) for n in range(25)]

        times = await leaving_times(fleet, calls, limits(max_rpm=600))

        # 10 a second, after a burst of 10: what a second allows.
        assert [n for n, time in enumerate(times) if time < 0.1 * (n - 9) - 0.001] == []

    play(url, 4, scene)


def test_a_slow_rate_has_a_burst_of_one(url: str) -> None:
    async def scene(fleet: Fleet) -> None:
        times = await leaving_times(fleet, [ticket(n) for n in range(2)], limits(max_rpm=59))
        assert times[1] > 1.0

    play(url, 2, scene)


def test_processes_that_wait_for_the_rate_take_turns(url: str) -> None:
    async def scene(fleet: Fleet) -> None:
        order: list[int] = []

        async def slot(process: int, number: int) -> None:
            call = ticket(f"{process}/{number}")
            await fleet[process].admit(call, limits(max_rpm=3000), soon(PATIENCE_S))
            order.append(process)
            await fleet[process].settle(call, FINE)

        # One process has many waiters, three have few.
        sizes = (100, 4, 4, 4)
        await asyncio.gather(*(slot(p, n) for p, size in enumerate(sizes) for n in range(size)))

        # After the burst of 50, where only who asks faster counts; without turns they come last.
        for process in (1, 2, 3):
            assert max(n for n, who in enumerate(order) if who == process) < 90

    play(url, 4, scene)


def test_who_comes_later_does_not_take_the_rate_that_another_waits_for(url: str) -> None:
    async def scene(fleet: Fleet) -> None:
        slow = limits(max_rpm=30)
        await fleet[0].admit(ticket("first"), slow, soon(PATIENCE_S))
        waiting = await blocked(fleet[1], ticket("waits"), slow)
        await fleet.redis.delete("cgrpo:governor:test:rpm")

        assert not await leaves(fleet[0], ticket("later"), slow)

        await asyncio.wait_for(waiting, PATIENCE_S)

    play(url, 2, scene)


def test_tokens_keep_their_rate_and_large_calls_leave_too(url: str) -> None:
    async def scene(fleet: Fleet) -> None:
        # 1,000 tokens a second, as many at once; calls of 250, then one larger than any burst.
        allowed = limits(max_tpm=60_000)
        times = await leaving_times(fleet, [ticket(n, tokens=250) for n in range(8)], allowed)
        assert [n for n, time in enumerate(times) if time < 0.25 * (n - 3) - 0.001] == []

        await fleet[0].admit(ticket("large", tokens=90_000), allowed, soon(PATIENCE_S))
        assert not await leaves(fleet[0], ticket("next", tokens=250), allowed)

    play(url, 2, scene)


def test_tokens_that_were_not_used_are_given_back_and_wake_who_waits_for_them(url: str) -> None:
    async def scene(fleet: Fleet) -> None:
        allowed = limits(max_tpm=60_000)
        large = ticket("large", tokens=30_000)
        await fleet[0].admit(large, allowed, soon(PATIENCE_S))
        waiting = await blocked(fleet[1], ticket("next", tokens=500), allowed)

        await fleet[0].settle(large, FINE._replace(tokens=10))

        await asyncio.wait_for(waiting, PATIENCE_S)

    play(url, 2, scene)


def test_tokens_beyond_the_estimate_are_charged(url: str) -> None:
    async def scene(fleet: Fleet) -> None:
        allowed = limits(max_tpm=60_000)
        small = ticket("small", tokens=10)
        began = now()
        await fleet[0].admit(small, allowed, soon(PATIENCE_S))
        await fleet[0].settle(small, FINE._replace(tokens=1400))

        await fleet[0].admit(ticket("next", tokens=10), allowed, soon(PATIENCE_S))

        # 1,410 tokens at 1,000 a second, of which 1,000 may leave at once.
        assert now() - began > 0.4

    play(url, 1, scene)


def test_unknown_tokens_stay_at_their_estimate(url: str) -> None:
    async def scene(fleet: Fleet) -> None:
        allowed = limits(max_tpm=60_000)
        call = ticket("broken", tokens=30_000)
        await fleet[0].admit(call, allowed, soon(PATIENCE_S))
        await fleet[0].settle(call, FINE)
        assert not await leaves(fleet[0], ticket("next"), allowed)

    play(url, 1, scene)


def test_a_pause_of_the_account_holds_every_process_and_model(url: str) -> None:
    async def scene(fleet: Fleet) -> None:
        began = now()
        await fleet[0].pause("account", "m", 0.5)
        judge = ticket("judge", model="other", role="judge")

        await asyncio.gather(
            fleet[1].admit(ticket("call"), limits(), soon(PATIENCE_S)),
            fleet[2].admit(judge, limits(), soon(PATIENCE_S)),
        )

        assert now() - began > 0.49

    play(url, 3, scene)


def test_a_pause_of_a_model_holds_that_model_only(url: str) -> None:
    async def scene(fleet: Fleet) -> None:
        await fleet[0].pause("model", "m", 60)

        assert await leaves(fleet[1], ticket("other", model="other"), limits())
        assert not await leaves(fleet[1], ticket("call"), limits())

    play(url, 2, scene)


def test_a_longer_pause_stays_and_no_time_is_no_pause(url: str) -> None:
    async def scene(fleet: Fleet) -> None:
        for nothing in (0.0, -3.0, float("nan")):
            await fleet[0].pause("account", "m", nothing)
        assert await leaves(fleet[0], ticket("free"), limits())

        await fleet[0].pause("account", "m", 600)
        await fleet[1].pause("account", "m", 0.1)
        assert await fleet.redis.pttl("cgrpo:governor:test:pause") > 300_000
        assert not await leaves(fleet[0], ticket("held"), limits())

        # A server that asks for eternity gets an hour.
        await fleet[0].pause("account", "m", float("inf"))
        assert 3_500_000 < await fleet.redis.pttl("cgrpo:governor:test:pause") <= 3_605_000

    play(url, 2, scene)


def test_after_a_pause_the_herd_comes_back_one_by_one(url: str) -> None:
    async def scene(fleet: Fleet) -> None:
        await fleet.limit(40)
        times: list[float] = []

        async def slot(number: int) -> None:
            await fleet[number % 4].admit(ticket(number), limits(), soon(PATIENCE_S))
            times.append(now())

        began = now() + 0.8
        await fleet[0].pause("account", "m", 0.8)
        await asyncio.gather(*map(slot, range(40)))

        # The limit of 40 opens over 0.2 s.
        for share in (0.25, 0.5, 0.75):
            left = sum(time < began + share * 0.2 for time in times)
            assert left <= 40 * share + 4

    play(url, 4, scene)


def test_a_stop_is_heard_in_the_middle_of_a_long_pause(url: str) -> None:
    async def scene(fleet: Fleet) -> None:
        await fleet[0].pause("account", "m", 60)
        waiting = await blocked(fleet[1], ticket("call"), limits())

        await fleet[0].stop("lime", "unauthorized", "set a valid key")

        await asyncio.wait({waiting}, timeout=PATIENCE_S)
        assert str(waiting.exception()) == "set a valid key"

    play(url, 2, scene)


HOUR_US = 3_600_000_000


async def put_the_clock_back(redis: Redis) -> None:
    """What was kept before the server's clock was put back by an hour lies so far in its future,
    and so do the ends of keys that expire."""
    for key in await redis.keys("cgrpo:*"):
        if (lives_ms := await redis.pttl(key)) > 0:
            await redis.pexpire(key, lives_ms + HOUR_US // 1000)
        if await redis.type(key) == "zset":
            for member, score in await redis.zrange(key, 0, -1, withscores=True):
                await redis.zadd(key, {member: score + HOUR_US})
    for name in ("rpm", "pause", "pause:m"):
        # The end, and when it was set; a ramp between them is no instant.
        end, *ramp, since = (await redis.get(f"cgrpo:governor:test:{name}")).split()
        words = [str(int(end) + HOUR_US), *ramp, str(int(since) + HOUR_US)]
        await redis.set(f"cgrpo:governor:test:{name}", " ".join(words))
    for head, text in (await redis.hgetall("cgrpo:governor:test:line")).items():
        entry = json.loads(text)
        entry["until_ms"] += HOUR_US // 1000
        entry["since_ms"] += HOUR_US // 1000
        await redis.hset("cgrpo:governor:test:line", head, json.dumps(entry))
    await redis.hincrby("cgrpo:governor:test:adaptive:m", "seen_us", HOUR_US)


def test_no_wait_is_longer_when_the_clock_of_the_server_was_put_back(url: str) -> None:
    async def scene(fleet: Fleet) -> None:
        allowed = limits(max_rpm=60, max_tpm=6000, max_inflight=2)
        # A pause of the account and one of the model; rates; a permit of a worker that dies, and
        # the head of a line that nobody stands in any more.
        await fleet[1].admit(ticket(0, lifetime_s=2.0, tokens=1), allowed, soon(5))
        await fleet[1].admit(ticket(1, lifetime_s=2.0, tokens=1), allowed, soon(5))
        waiting = asyncio.create_task(fleet[1].admit(ticket(2, tokens=1), allowed, soon(60)))
        await asyncio.sleep(0.1)
        await fleet[0].pause("account", "m", 1.0)
        await fleet[0].pause("model", "m", 1.0)
        await put_the_clock_back(fleet.redis)
        began = now()

        await fleet[0].admit(ticket(3, lifetime_s=2.0, tokens=1), allowed, soon(30))

        # The pauses, then the permits of two that died, then the rate: what was set, and a moment.
        assert now() - began < 8
        waiting.cancel()

    play(url, 2, scene)


def test_what_lies_too_far_ahead_counts_as_the_longest_that_can_have_been_set(url: str) -> None:
    async def scene(fleet: Fleet) -> None:
        seconds, micros = await fleet.redis.time()
        ahead = seconds * 1_000_000 + micros + 2 * 3_600_000_000
        await fleet.redis.set("cgrpo:governor:test:rpm", ahead)
        await fleet.redis.set("cgrpo:governor:test:pause", f"{ahead} 5000000")

        waiting = await blocked(fleet[0], ticket(0), limits(max_rpm=60))

        assert 59_000 < await fleet.redis.pttl("cgrpo:governor:test:rpm") <= 61_000
        assert 3_590_000 < await fleet.redis.pttl("cgrpo:governor:test:pause") <= 3_605_000
        waiting.cancel()
        await asyncio.wait({waiting})

    play(url, 1, scene)


def test_the_stop_of_an_orchestrator_is_heard_in_the_middle_of_a_long_pause(url: str) -> None:
    """Nothing is in flight, so there is nothing to wait for."""

    async def scene(fleet: Fleet) -> None:
        await fleet[0].pause("account", "m", 600)
        waiting = await blocked(fleet[0], ticket(0), limits())
        other = await blocked(fleet[1], ticket(1, run="another"), limits())

        with connect(url) as redis:
            await asyncio.to_thread(GroupStore(redis, RUN).stop, "interrupted", "by a person")

        with pytest.raises(Stopped, match="by a person"):
            await asyncio.wait_for(waiting, 20)
        assert not other.done()
        other.cancel()
        await asyncio.wait({other})

    play(url, 2, scene)
