"""The governor's books: the cap holds, nothing is counted twice, nothing is forgotten."""

import asyncio
import random
from collections.abc import Iterator

import pytest

from shared.keys import RunKeys
from tests.governing import FINE, RUN, Fleet, blocked, leaves, limits, play, soon, ticket, valkey
from tests.processes import PATIENCE_S
from worker.governor import Settlement, Stop, Stopped

WAITERS = 60
CENT = 10_000_000
PAID = Settlement(400, 900, "yes", 50, False, None)
UNKNOWN = PAID._replace(cost_nusd=None)
BROKEN = Settlement(None, 1000, "perhaps", None, False, "")


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with valkey(tmp_path_factory.mktemp("governor")) as address:
        yield address


def test_the_cap_holds_with_sixty_waiters_until_it_is_used_up_and_the_run_stops(url: str) -> None:
    async def scene(fleet: Fleet) -> None:
        charged, most_out, out = 0, 0, 0
        cap = 50 * CENT
        before = await fleet.client_commands()
        admitted = 0

        async def slot(number: int) -> str:
            nonlocal charged, out, most_out, admitted
            governor = fleet[number % 4]
            for attempt in range(1000):
                call = ticket(f"{number}/{attempt}", ceiling_nusd=CENT)
                try:
                    await governor.admit(call, limits(max_cost_usd=0.5), soon(PATIENCE_S))
                except Stopped as stopped:
                    return stopped.stop.kind
                admitted += 1
                out += CENT
                most_out = max(most_out, charged + out)
                await asyncio.sleep(random.uniform(0.001, 0.01))
                cost = random.randint(CENT // 3, CENT)
                charged, out = charged + cost, out - CENT
                await governor.settle(call, PAID._replace(cost_nusd=cost))
            return "never"

        assert set(await asyncio.gather(*map(slot, range(WAITERS)))) == {"budget"}

        assert most_out <= cap
        assert cap - CENT < charged <= cap
        books = await fleet.money()
        assert books == {"spent:generate": charged, "calls:generate": admitted}
        assert (await fleet.client_commands() - before) / admitted < 25
        stop = await fleet[0].stopped(RUN)
        assert stop is not None
        assert stop.sentence.startswith("the budget of $0.5 is used up: $0.4")
        assert "--budget" in stop.sentence

    play(url, 4, scene)


def test_who_finds_the_budget_reserved_waits_and_goes_on_when_it_settles_lower(url: str) -> None:
    async def scene(fleet: Fleet) -> None:
        budget = limits(max_cost_usd=1e-6)
        first = ticket("first", ceiling_nusd=900)
        await fleet[0].admit(first, budget, soon(PATIENCE_S))
        waiting = await blocked(fleet[1], ticket("second", ceiling_nusd=600), budget)
        assert await fleet[0].stopped(RUN) is None

        await fleet[0].settle(first, PAID)

        await asyncio.wait_for(waiting, PATIENCE_S)
        assert await fleet.money() == {
            "spent:generate": 400,
            "reserved:generate": 600,
            "calls:generate": 1,
        }

    play(url, 2, scene)


def test_room_for_several_wakes_those_of_all_processes(url: str) -> None:
    async def scene(fleet: Fleet) -> None:
        budget = limits(max_cost_usd=1e-6)
        first = ticket("first", ceiling_nusd=1000)
        await fleet[0].admit(first, budget, soon(PATIENCE_S))
        waiting = [await blocked(fleet[n], ticket(n, ceiling_nusd=100), budget) for n in range(4)]

        await fleet[0].settle(first, PAID)

        await asyncio.wait_for(asyncio.gather(*waiting), PATIENCE_S)

    play(url, 4, scene)


def test_every_role_and_kind_of_money_counts_against_the_cap(url: str) -> None:
    async def scene(fleet: Fleet) -> None:
        budget = limits(max_cost_usd=1e-6)
        kinds = {"generate": PAID, "judge": UNKNOWN._replace(estimate_nusd=250), "eval": BROKEN}
        for role, ends in kinds.items():
            call = ticket(role, role=role, ceiling_nusd=300)
            await fleet[0].admit(call, budget, soon(PATIENCE_S))
            await fleet[0].settle(call, ends._replace(estimate_nusd=300))

        books = await fleet.money()
        kinds_booked = ("spent:generate", "estimated:judge", "perhaps:eval")
        assert [books[kind] for kind in kinds_booked] == [400, 300, 300]
        with pytest.raises(Stopped, match=r"\$0\.000001 are spent or perhaps spent"):
            await fleet[0].admit(ticket("free"), budget, soon(PATIENCE_S))

    play(url, 1, scene)


def test_a_cap_stops_only_the_run_whose_money_it_is(url: str) -> None:
    async def scene(fleet: Fleet) -> None:
        budget = limits(max_cost_usd=1e-6)
        with pytest.raises(Stopped):
            await fleet[0].admit(ticket("dear", ceiling_nusd=2000), budget, soon(PATIENCE_S))

        assert await leaves(fleet[0], ticket("other", run="other", ceiling_nusd=1000), budget)

    play(url, 1, scene)


def test_a_stop_for_another_reason_that_came_first_is_the_one_that_is_told(url: str) -> None:
    async def scene(fleet: Fleet) -> None:
        await fleet[1].stop(RUN, "credits", "buy credits")
        with pytest.raises(Stopped, match="buy credits"):
            await fleet[0].admit(
                ticket(1, ceiling_nusd=9), limits(max_cost_usd=1e-9), soon(PATIENCE_S)
            )
        # Whoever finds the budget used up at the same time does not replace it either.
        await fleet[0].stop(RUN, "budget", "raise it")
        assert await fleet[0].stopped(RUN) == Stop("credits", "buy credits")

    play(url, 2, scene)


@pytest.mark.parametrize(
    ("ends", "books"),
    [
        (PAID, {"spent:generate": 400}),
        (PAID._replace(billed="no"), {"spent:generate": 400}),
        (UNKNOWN, {"estimated:generate": 900, "unknown:generate": 1}),
        (UNKNOWN._replace(cost_nusd=-5), {"estimated:generate": 900, "unknown:generate": 1}),
        (UNKNOWN._replace(estimate_nusd=0), {"unknown:generate": 1}),
        (BROKEN, {"perhaps:generate": 1000, "unknown:generate": 1}),
        (FINE._replace(cost_nusd=None), {}),
    ],
    ids=["known", "known although refused", "unknown", "negative", "no price", "broken", "refused"],
)
def test_a_settlement_is_booked_once(url: str, ends: Settlement, books: dict[str, int]) -> None:
    async def scene(fleet: Fleet) -> None:
        call = ticket("call", ceiling_nusd=1000)
        await fleet[0].admit(call, limits(), soon(PATIENCE_S))
        for _ in range(2):
            await fleet[0].settle(call, ends)
        await fleet[1].settle(call, ends)

        assert await fleet.money() == {**books, "calls:generate": 1}
        assert await fleet.redis.keys("*reservations") == []

    play(url, 2, scene)


def test_a_cancelled_settlement_is_booked_all_the_same(url: str) -> None:
    async def scene(fleet: Fleet) -> None:
        for number in range(20):
            call = ticket(number, ceiling_nusd=1000)
            await fleet[0].admit(call, limits(), soon(PATIENCE_S))
            settling = asyncio.create_task(fleet[0].settle(call, PAID))
            await asyncio.sleep(0.0001 * number)
            settling.cancel()
            await asyncio.wait({settling})
        await fleet[0].aclose()
        assert await fleet.money() == {"spent:generate": 8000, "calls:generate": 20}

    play(url, 1, scene)


def test_what_a_call_perhaps_cost_is_resolved_once_its_cost_is_known(url: str) -> None:
    async def scene(fleet: Fleet) -> None:
        call = ticket("k2/generate/1", ceiling_nusd=1000)
        await fleet[0].admit(call, limits(), soon(PATIENCE_S))
        await fleet[0].settle(call, BROKEN)

        assert await fleet[1].resolve(RUN, "generate", call.call, 420)
        assert not await fleet[1].resolve(RUN, "generate", call.call, 420)
        assert not await fleet[1].resolve(RUN, "judge", call.call, 420)

        assert await fleet.money() == {"spent:generate": 420, "calls:generate": 1}

    play(url, 2, scene)


def test_the_reservation_of_a_dead_worker_is_perhaps_spent(url: str) -> None:
    async def scene(fleet: Fleet) -> None:
        budget = limits(max_cost_usd=1e-6)
        dead = ticket("dead", ceiling_nusd=700, lifetime_s=0.3)
        await fleet[0].admit(dead, budget, soon(PATIENCE_S))
        judge = ticket("judge", role="judge", ceiling_nusd=300)

        # It waits for the reservation, which settles no lower when it expires.
        with pytest.raises(Stopped):
            await fleet[1].admit(ticket("dear", ceiling_nusd=301), budget, soon(PATIENCE_S))

        books = {"perhaps:generate": 700, "unknown:generate": 1, "calls:generate": 1}
        assert await fleet.money() == books
        await fleet.redis.delete(RunKeys(RUN).stop)
        await fleet[1].admit(judge, budget, soon(PATIENCE_S))
        assert await fleet.money() == {**books, "reserved:judge": 300}

    play(url, 2, scene)


def test_a_worker_that_was_only_slow_says_later_what_its_call_cost(url: str) -> None:
    async def scene(fleet: Fleet) -> None:
        slow = ticket("slow", ceiling_nusd=700, lifetime_s=0.05)
        await fleet[0].admit(slow, limits(max_tpm=60_000), soon(PATIENCE_S))
        await asyncio.sleep(0.1)
        await fleet[1].admit(ticket("other"), limits(), soon(PATIENCE_S))
        assert (await fleet.money())["perhaps:generate"] == 700

        for _ in range(2):
            await fleet[0].settle(slow, PAID)

        assert await fleet.money() == {"spent:generate": 400, "calls:generate": 1}

    play(url, 2, scene)


def test_a_call_that_is_delivered_again_leaves_the_dead_workers_dollars_in_doubt(url: str) -> None:
    async def scene(fleet: Fleet) -> None:
        one = limits(max_inflight=1)
        call = ticket("again", ceiling_nusd=700)
        await fleet[0].admit(call, one, soon(PATIENCE_S))

        await fleet[1].admit(call, one, soon(PATIENCE_S))

        books = {"perhaps:generate": 700, "unknown:generate": 1, "calls:generate": 1}
        assert await fleet.money() == {**books, "reserved:generate": 700}
        # Another's reservation is not for this one to settle, but its own doubt is.
        await fleet[1].settle(call, BROKEN)
        books = {"perhaps:generate": 1700, "unknown:generate": 2, "calls:generate": 2}
        assert await fleet.money() == books
        await fleet[0].settle(call, PAID)
        assert await fleet.money() == books
        assert await fleet[1].resolve(RUN, "generate", call.call, 420)
        assert await fleet.money() == {"spent:generate": 420, "calls:generate": 2}

    play(url, 2, scene)


def test_of_two_workers_with_the_same_call_each_settles_its_own(url: str) -> None:
    async def scene(fleet: Fleet) -> None:
        call = ticket("again", ceiling_nusd=700)
        await fleet[0].admit(call, limits(), soon(PATIENCE_S))
        await fleet[1].admit(call, limits(), soon(PATIENCE_S))

        await fleet[0].settle(call, PAID)

        books = {"spent:generate": 400, "calls:generate": 1}
        assert await fleet.money() == {**books, "reserved:generate": 700}
        await fleet[1].settle(call, PAID)
        assert await fleet.money() == {"spent:generate": 800, "calls:generate": 2}

    play(url, 2, scene)


def test_large_sums_stay_exact(url: str) -> None:
    async def scene(fleet: Fleet) -> None:
        million = 1_000_000 * 100 * CENT
        for number in range(3):
            call = ticket(number, ceiling_nusd=million + 1)
            await fleet[0].admit(call, limits(max_cost_usd=5e6), soon(PATIENCE_S))
            await fleet[0].settle(call, PAID._replace(cost_nusd=million + 1))
        assert (await fleet.money())["spent:generate"] == 3 * million + 3

    play(url, 1, scene)
