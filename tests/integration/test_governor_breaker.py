"""The circuit breaker: a bad parameter hits every request, and the run stops early."""

from collections.abc import Iterator, Sequence

import pytest

from shared.keys import RunKeys
from tests.governing import RUN, Fleet, limits, play, soon, ticket, valkey
from tests.processes import PATIENCE_S
from worker.governor import Settlement

GOOD, RETRY = None, ""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with valkey(tmp_path_factory.mktemp("governor")) as address:
        yield address


async def answers(fleet: Fleet, faults: Sequence[str | None], name: str = "") -> list[str | None]:
    """What the governor says to each answer in turn, from whatever process."""
    said = []
    for number, fault in enumerate(faults):
        governor = fleet[number % len(fleet.governors)]
        call = ticket(f"{name}{number}")
        await governor.admit(call, limits(), soon(PATIENCE_S))
        ends = Settlement(0, 0, "no", None, throttled=False, fault=fault)
        said.append(await governor.settle(call, ends))
    return said


def test_five_equal_rejects_from_the_start_trip_it_once(url: str) -> None:
    async def scene(fleet: Fleet) -> None:
        said = await answers(fleet, ["bad_request"] * 30)
        assert [n for n, reason in enumerate(said) if reason] == [4]
        assert said[4] == ("bad_request: all of the first 5 answers are rejects of this kind")

    play(url, 2, scene)


@pytest.mark.parametrize(
    "faults",
    [
        ["bad"] * 4 + ["other"] + ["bad"] * 15,
        [GOOD] + ["bad"] * 20,
        [RETRY] * 60,
        ["bad"] * 4 + [RETRY] * 30,
        ["bad", GOOD] * 40,
    ],
    ids=["unequal", "one good before", "retries", "four and retries", "half"],
)
def test_fewer_do_not_trip_it(url: str, faults: list[str | None]) -> None:
    async def scene(fleet: Fleet) -> None:
        assert set(await answers(fleet, faults)) == {None}

    play(url, 1, scene)


def test_retries_between_do_not_save_a_bad_request(url: str) -> None:
    async def scene(fleet: Fleet) -> None:
        said = await answers(fleet, ["bad", RETRY] * 5)
        assert [n for n, reason in enumerate(said) if reason] == [8]

    play(url, 1, scene)


def test_more_than_half_of_the_last_forty_trip_it(url: str) -> None:
    async def scene(fleet: Fleet) -> None:
        said = await answers(fleet, [GOOD] * 60 + ["bad"] * 15 + ["too_large"] * 10)
        assert [n for n, reason in enumerate(said) if reason] == [80]
        assert said[80] == "bad: 21 of the last 40 answers are rejects, 15 of this kind"

    play(url, 2, scene)


def test_a_stopped_run_has_no_breaker_and_a_resumed_one_has_it_again(url: str) -> None:
    async def scene(fleet: Fleet) -> None:
        late = [ticket(n) for n in range(10)]
        for call in late:
            await fleet.limit(20)
            await fleet[0].admit(call, limits(), soon(PATIENCE_S))
        await fleet[0].stop(RUN, "breaker", "change the request")
        ends = Settlement(0, 0, "no", None, throttled=False, fault="bad")
        assert [await fleet[0].settle(call, ends) for call in late] == [None] * 10

        await fleet.redis.delete(RunKeys(RUN).stop)
        assert [n for n, r in enumerate(await answers(fleet, ["bad"] * 7, "new")) if r] == [4]

    play(url, 1, scene)
