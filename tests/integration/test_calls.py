"""One governed call against the stand-in: repeated where that helps, settled whatever happens."""

import asyncio
import json
from collections.abc import Iterator

import pytest
from redis import Redis

from orchestrator.budget import spending
from orchestrator.standin import Running, Settings, running
from shared.keys import RunKeys
from shared.messages import FailureKind, Limits
from tests.calling import (
    asked,
    assert_equal_to_the_last_nano_dollar,
    billed_nusd,
    faults,
    held,
    order,
    play,
    spent_nusd,
)
from tests.processes import wait_until
from worker.calls import Caller, Reply
from worker.failures import ProviderFailure
from worker.governor import Stopped

#: Faults after which the answer lies paid in the response cache.
PAID_AND_LOST = ("reset", "short_body", "truncated_json", "empty_body", "sse", "slow", "drip")


@pytest.fixture(scope="module")
def shared() -> Iterator[Running]:
    with running() as standin:
        yield standin


@pytest.fixture
def standin(shared: Running) -> Running:
    shared.control("settings", Settings(slow_s=5, drip_s=5).model_dump(mode="json"))
    shared.control("reset", {})
    return shared


def test_after_a_lost_answer_the_same_bytes_get_it_from_the_cache_and_it_is_paid_once(
    empty_url: str, empty_redis: Redis, run_id: str, standin: Running
) -> None:
    for slot, fault in enumerate(PAID_AND_LOST):
        order(standin, fault, f"/k{slot}/", times=2 if fault == "reset" else 1)

    async def scene(caller: Caller) -> None:
        asks = [asked(run_id, slot, request_timeout_s=2) for slot in range(len(PAID_AND_LOST))]
        replies = await asyncio.gather(*map(caller.ask, asks))
        assert [reply.attempts for reply in replies] == [3, 2, 2, 2, 2, 2, 2]
        assert all(reply.answer.cache_hit and reply.answer.text for reply in replies)
        costs = [reply.cost_usd or 0.0 for reply in replies]
        assert round(sum(costs) * 1e9) == billed_nusd(standin)
        assert min(costs) > 0

    play(empty_url, standin.base_url, scene)
    ledger, received = standin.control("ledger"), standin.control("received")
    bodies = [exchange["body"] for exchange in received["last"]]
    assert len(set(bodies)) == len(PAID_AND_LOST) == ledger["billed_generations"]
    assert received["count"] == 2 * len(PAID_AND_LOST) + 1
    assert (received["cache_hits"], ledger["bodies_billed_more_than_once"]) == (8, 0)
    assert_equal_to_the_last_nano_dollar(empty_redis, run_id, standin)
    assert sum(spending(empty_redis, run_id).calls.values()) == received["count"]


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("moderation", FailureKind.MODERATED),
        ("context_length", FailureKind.REJECTED),
        ("too_large", FailureKind.REJECTED),
        ("reasoned_out", FailureKind.REASONED_OUT),
    ],
)
def test_a_reject_fails_its_slot_at_once_and_for_good(
    empty_url: str, empty_redis: Redis, run_id: str, standin: Running, fault: str, kind: FailureKind
) -> None:
    order(standin, fault, times=None)

    async def scene(caller: Caller) -> None:
        with pytest.raises(ProviderFailure) as failed:
            await caller.ask(asked(run_id))
        assert (failed.value.kind, failed.value.attempts) == (kind, 1)

    play(empty_url, standin.base_url, scene)
    assert standin.control("received")["count"] == 1
    assert faults(empty_redis, run_id) == {fault: 1}
    assert spent_nusd(spending(empty_redis, run_id)) == billed_nusd(standin)
    assert held(empty_redis, run_id) == (0, 0)


def test_a_stop_ends_every_call_of_the_run_and_is_told_to_the_orchestrator(
    empty_url: str, empty_redis: Redis, run_id: str, standin: Running
) -> None:
    order(standin, "credits", times=None)

    async def scene(caller: Caller) -> None:
        for _ in range(2):
            with pytest.raises(Stopped) as stopped:
                await caller.ask(asked(run_id))
            assert stopped.value.stop.kind == "credits"
        # Another run of the same account is not concerned.
        standin.control("faults", {"clear": True})
        await caller.ask(asked(f"{run_id}-other"))

    play(empty_url, standin.base_url, scene)
    # The second call was not even sent.
    assert standin.control("received")["by_fault"] == {"credits": 1}
    stop = json.loads(str(empty_redis.get(RunKeys(run_id).stop)))
    assert stop["kind"] == "credits"
    assert "Add credits to the account, then resume the run." in stop["sentence"]
    ((_, entry),) = empty_redis.xrange(RunKeys(run_id).events)
    assert entry == {"stop": "credits", "sentence": stop["sentence"]}
    assert held(empty_redis, run_id) == (0, 0)


def test_a_useless_answer_is_not_asked_for_again_from_the_cache(
    empty_url: str, empty_redis: Redis, run_id: str, standin: Running
) -> None:
    order(standin, "null_content")

    async def scene(caller: Caller) -> None:
        reply = await caller.ask(asked(run_id))
        assert (reply.attempts, bool(reply.answer.text)) == (2, True)

    play(empty_url, standin.base_url, scene)
    received = standin.control("received")
    assert (received["count"], received["cache_hits"]) == (2, 0)
    assert len({exchange["body"] for exchange in received["last"]}) == 1
    assert standin.control("ledger")["billed_generations"] == 2
    assert_equal_to_the_last_nano_dollar(empty_redis, run_id, standin)


def test_faults_are_counted_repeated_ones_too(
    empty_url: str, empty_redis: Redis, run_id: str, standin: Running
) -> None:
    order(standin, "server", "/k0/", times=None)
    order(standin, "timeout", "/k1/")
    order(standin, "length", "/k2/")

    async def scene(caller: Caller) -> None:
        asks = [asked(run_id, slot, max_attempts=2) for slot in range(4)]
        failed, *others = await asyncio.gather(*map(caller.ask, asks), return_exceptions=True)
        assert isinstance(failed, ProviderFailure)
        assert (failed.kind, failed.attempts) == (FailureKind.UPSTREAM, 2)
        assert failed.message.startswith("given up after 2 attempts: The server failed.")
        assert all(isinstance(reply, Reply) for reply in others)

    play(empty_url, standin.base_url, scene)
    assert faults(empty_redis, run_id) == {"length": 1, "server": 2, "timeout": 1}


def test_a_cancelled_call_leaves_no_permit_and_counts_as_perhaps_paid(
    empty_url: str, empty_redis: Redis, run_id: str, standin: Running
) -> None:
    standin.control("settings", {"latency_ms": 5000})

    async def scene(caller: Caller) -> None:
        call = asyncio.create_task(caller.ask(asked(run_id)))
        await asyncio.to_thread(
            wait_until, lambda: standin.control("received")["open"] == 1, "call under way"
        )
        assert held(empty_redis, run_id) == (1, 1)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

    play(empty_url, standin.base_url, scene)
    assert held(empty_redis, run_id) == (0, 0)
    spent = spending(empty_redis, run_id)
    assert (spent.calls["generate"], spent.unknown["generate"]) == (1, 1)
    assert spent_nusd(spent, "perhaps") > 0


def test_64_calls_are_on_the_way_at_the_same_time_and_never_more(
    empty_url: str, empty_redis: Redis, run_id: str, standin: Running
) -> None:
    standin.control("settings", {"latency_ms": 500})

    async def scene(caller: Caller) -> None:
        asks = [asked(run_id, slot, limits=Limits(max_inflight=64)) for slot in range(256)]
        replies = await asyncio.gather(*map(caller.ask, asks))
        assert {reply.attempts for reply in replies} == {1}

    play(empty_url, standin.base_url, scene)
    received = standin.control("received")
    assert (received["count"], received["peak_generating"]) == (256, 64)
    assert_equal_to_the_last_nano_dollar(empty_redis, run_id, standin)
