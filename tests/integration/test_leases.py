"""Leases on groups, script by script: one holder at a time, on the server's clock."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from orchestrator.group_store import GroupStore
from orchestrator.ledger import OpenGroup
from shared.keys import CLOSED, JOB_TTL_S, LEASE_TTL_S, RunKeys
from shared.messages import Completion, Failure, FailureKind, JudgeAnswer
from shared.results import written
from tests.working import group_job
from worker.scripting import Scripting
from worker.slots import GroupTask, Slots


@pytest.fixture
def task(empty_redis: Redis, run_id: str) -> GroupTask:
    """A group whose job is written."""
    key = RunKeys(run_id).job(1, "e001", "generate")
    empty_redis.set(key, group_job(run_id).generate.model_dump_json())
    return GroupTask(run_id, 1, "e001", "generate", 1)


def lease_of(task: GroupTask) -> str:
    return RunKeys(task.run).lease(task.step, task.group, task.role)


def play(url: str, scene: Callable[[Slots, Slots], Awaitable[None]]) -> None:
    """Run ``scene`` with the slots of two workers."""

    async def run() -> None:
        async with AsyncRedis.from_url(url, decode_responses=True) as redis:
            await scene(Slots(Scripting(redis), "first"), Slots(Scripting(redis), "second"))

    asyncio.run(run())


def failed(slot: int, message: str) -> Failure:
    return Failure(slot=slot, kind=FailureKind.WORKER_ERROR, message=message)


def test_a_group_is_in_one_pair_of_hands_until_it_is_given_back(
    empty_url: str, empty_redis: Redis, task: GroupTask
) -> None:
    async def scene(first: Slots, second: Slots) -> None:
        held = await first.begin(task)
        assert held is not None
        assert await second.begin(task) is None
        # Not even the same worker's other thread gets it.
        assert await first.begin(task) is None
        assert 0 < empty_redis.pttl(lease_of(task)) <= LEASE_TTL_S * 1000

        await first.release(held)

        assert await second.begin(task) is not None

    play(empty_url, scene)


def test_a_lease_longer_than_any_worker_takes_is_a_dead_ones(
    empty_url: str, empty_redis: Redis, task: GroupTask
) -> None:
    """The server's clock was put back by an hour."""

    async def scene(first: Slots, second: Slots) -> None:
        assert await first.begin(task) is not None
        empty_redis.pexpire(lease_of(task), LEASE_TTL_S * 1000 + 3_600_000)
        group = OpenGroup(group_job(task.run), deadline=0)
        assert GroupStore(empty_redis, task.run).leased([group]) == [False]

        assert await second.begin(task) is not None

        assert GroupStore(empty_redis, task.run).leased([group]) == [True]
        empty_redis.set(lease_of(task), CLOSED, ex=JOB_TTL_S)
        assert await first.begin(task) is None, "a group whose step is over stays closed"

    play(empty_url, scene)


def test_generation_and_scoring_of_a_group_have_leases_of_their_own(
    empty_url: str, empty_redis: Redis, task: GroupTask
) -> None:
    job = group_job(task.run).score
    assert job is not None
    empty_redis.set(RunKeys(task.run).job(1, "e001", "score"), job.model_dump_json())

    async def scene(first: Slots, second: Slots) -> None:
        assert await first.begin(task) is not None
        assert await second.begin(task._replace(role="score")) is not None

    play(empty_url, scene)


def test_a_lease_expires_and_its_late_holder_touches_the_new_one_no_more(
    empty_url: str, empty_redis: Redis, task: GroupTask
) -> None:
    async def scene(first: Slots, second: Slots) -> None:
        late = await first.begin(task)
        assert late is not None
        empty_redis.pexpire(lease_of(task), 30)
        await asyncio.sleep(0.06)
        assert await second.begin(task) is not None
        holder = empty_redis.get(lease_of(task))
        empty_redis.pexpire(lease_of(task), 3000)

        await first.renew_all()
        assert empty_redis.pttl(lease_of(task)) <= 3000
        await first.release(late)
        assert empty_redis.get(lease_of(task)) == holder

    play(empty_url, scene)


def test_renewal_gives_a_held_lease_its_whole_time_again_until_it_is_given_back(
    empty_url: str, empty_redis: Redis, task: GroupTask
) -> None:
    async def scene(first: Slots, _: Slots) -> None:
        held = await first.begin(task)
        assert held is not None
        empty_redis.pexpire(lease_of(task), 500)

        await first.renew_all()
        assert empty_redis.pttl(lease_of(task)) > LEASE_TTL_S * 1000 - 500

        await first.release(held)
        await first.renew_all()
        assert not empty_redis.exists(lease_of(task))

    play(empty_url, scene)


def test_a_group_whose_job_is_gone_is_not_taken(
    empty_url: str, empty_redis: Redis, task: GroupTask
) -> None:
    empty_redis.delete(RunKeys(task.run).job(1, "e001", "generate"))

    async def scene(first: Slots, _: Slots) -> None:
        assert await first.begin(task) is None

    play(empty_url, scene)
    assert not empty_redis.exists(lease_of(task))


def made(slot: int, text: str) -> Completion:
    return Completion(slot=slot, text=text, model="m", provider="p")


def kept(redis: Redis, task: GroupTask) -> dict[str, str]:
    return redis.hgetall(RunKeys(task.run).slots(task.step, task.group))  # type: ignore[return-value]


def test_the_first_result_of_a_slot_stays_and_is_announced_once(
    empty_url: str, empty_redis: Redis, task: GroupTask
) -> None:
    async def scene(first: Slots, second: Slots) -> None:
        held = await first.begin(task)
        assert held is not None
        await first.commit(held, {0: made(0, "first"), 1: made(1, "first")})
        await second.commit(held, {1: made(1, "second"), 2: made(2, "second")})

    play(empty_url, scene)

    assert {field: "first" in value for field, value in kept(empty_redis, task).items()} == {
        "generate:0": True,
        "generate:1": True,
        "generate:2": False,
    }
    keys = RunKeys(task.run)
    announced = [entry["field"] for _, entry in empty_redis.xrange(keys.events)]
    assert announced == ["generate:0", "generate:1", "generate:2"]
    assert empty_redis.ttl(keys.slots(1, "e001")) > 0


def test_of_a_late_holder_what_was_paid_for_is_kept_and_a_failure_is_not(
    empty_url: str, empty_redis: Redis, task: GroupTask
) -> None:
    async def scene(first: Slots, second: Slots) -> None:
        # Given a worker that was silent until another had its group.
        late = await first.begin(task)
        assert late is not None
        empty_redis.delete(late.lease)
        heir = await second.begin(task._replace(attempt=2))
        assert heir is not None

        await first.commit(late, {0: failed(0, "late"), 1: made(1, "late")})
        await second.commit(heir, {0: made(0, "heir"), 1: made(1, "heir"), 2: failed(2, "heir")})

    play(empty_url, scene)

    found = kept(empty_redis, task)
    assert {field: ("late" in value, "Failure" in value) for field, value in found.items()} == {
        "generate:0": (False, False),
        "generate:1": (True, False),
        "generate:2": (False, True),
    }


def test_a_lease_that_expired_in_nobodys_interest_is_taken_again(
    empty_url: str, empty_redis: Redis, task: GroupTask
) -> None:
    async def scene(first: Slots, second: Slots) -> None:
        held = await first.begin(task)
        assert held is not None
        # As after a restart of the server that took longer than a lease lasts.
        empty_redis.delete(held.lease)

        await first.renew_all()

        assert empty_redis.get(held.lease) == held.holder
        assert await second.begin(task) is None

    play(empty_url, scene)


def test_what_a_judge_answered_is_kept_and_not_announced(
    empty_url: str, empty_redis: Redis, task: GroupTask
) -> None:
    answer = JudgeAnswer(slot=0, text="7", cost_usd=0.001)

    async def scene(first: Slots, _: Slots) -> None:
        held = await first.begin(task)
        assert held is not None
        keys, args = held.commit({"judge0:0": answer})
        await first._commit(keys=keys, args=args)

    play(empty_url, scene)

    assert kept(empty_redis, task) == {"judge0:0": written(answer)}
    assert empty_redis.xlen(RunKeys(task.run).events) == 0


def test_a_commit_to_a_closed_step_writes_nothing(
    empty_url: str, empty_redis: Redis, task: GroupTask
) -> None:
    async def scene(first: Slots, _: Slots) -> None:
        held = await first.begin(task)
        assert held is not None
        empty_redis.delete(RunKeys(task.run).job(1, "e001", "generate"))
        await first.commit(held, {0: made(0, "late")})
        await first.release(held)

    play(empty_url, scene)
    assert empty_redis.dbsize() == 0
