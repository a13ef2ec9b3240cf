"""What was paid for is in Redis together with its money, and is not asked for again."""

import asyncio
import json
from collections.abc import Awaitable, Callable

import pytest
from redis import Redis

from orchestrator.budget import spending
from orchestrator.standin import Running
from shared.keys import RunKeys
from shared.messages import GenerateJob, RewardTerm, ScoreJob, SlotPrompt
from tests.calling import (
    MESSAGE,
    assert_equal_to_the_last_nano_dollar,
    billed_nusd,
    calling,
    order,
    sampling,
    spent_nusd,
)
from tests.processes import PATIENCE_S
from worker.calls import Caller
from worker.generation import generate_group
from worker.governor import Withdrawn
from worker.providers import providers
from worker.scoring import score_group
from worker.scripting import Scripting
from worker.slots import GroupTask, Held, Slots


def judged_job(run: str) -> ScoreJob:
    return ScoreJob(
        run=run,
        step=1,
        group="e001",
        prompt="Explain superposition",
        reference=None,
        terms=(),
        extra={},
        rewards=(RewardTerm(name="judge", weight=1.0),),
        judges=(sampling(reply_format="json_schema", request_timeout_s=60),) * 2,
        rubric="Judge clarity.",
    )


def generate_job(run: str, slots: int = 1) -> GenerateJob:
    prompts = tuple(
        SlotPrompt(slot=slot, messages=(MESSAGE,), draft="", seed=slot) for slot in range(slots)
    )
    how = sampling(request_timeout_s=60)
    return GenerateJob(run=run, step=1, group="e001", prompts=prompts, sampling=how)


def play(url: str, standin: Running, scene: Callable[[Slots, Caller], Awaitable[None]]) -> None:
    async def run() -> None:
        async with calling(url, standin.base_url) as caller:
            await scene(Slots(Scripting(caller._redis), "tester"), caller)

    asyncio.run(run())


async def begun(slots: Slots, run: str, role: str = "generate") -> Held:
    held = await slots.begin(GroupTask(run, 1, "e001", role, 1))  # type: ignore[arg-type]
    assert held is not None
    return held


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.01)


async def cut_off(work: "asyncio.Task[None]") -> None:
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)


def test_a_completion_and_its_cost_are_there_at_the_same_moment(
    empty_url: str, empty_redis: Redis, standin: Running, run_id: str
) -> None:
    keys = RunKeys(run_id)
    empty_redis.set(keys.job(1, "e001", "generate"), generate_job(run_id).model_dump_json())

    async def scene(slots: Slots, caller: Caller) -> None:
        await generate_group(slots, providers(caller), await begun(slots, run_id))

    empty_redis.config_resetstat()
    play(empty_url, standin, scene)

    kind, found = json.loads(empty_redis.hget(keys.slots(1, "e001"), "generate:0") or "")
    assert kind == "Completion"
    assert round(found["cost_usd"] * 1e9) == billed_nusd(standin)
    assert_equal_to_the_last_nano_dollar(empty_redis, run_id, standin)
    # One script did both: the server never had the one without the other.
    stats = empty_redis.info("commandstats")
    assert stats["cmdstat_hsetnx"]["calls"] == 1


def test_a_failure_that_was_paid_for_is_kept_with_its_cost(
    empty_url: str, empty_redis: Redis, standin: Running, run_id: str
) -> None:
    keys = RunKeys(run_id)
    empty_redis.set(keys.job(1, "e001", "generate"), generate_job(run_id).model_dump_json())
    order(standin, "reasoned_out")

    async def scene(slots: Slots, caller: Caller) -> None:
        held = await begun(slots, run_id)
        await providers(caller)["openrouter"].complete(
            generate_job(run_id).prompts[0], generate_job(run_id), held
        )

    with pytest.raises(Exception, match="reason"):
        play(empty_url, standin, scene)

    kind, failure = json.loads(empty_redis.hget(keys.slots(1, "e001"), "generate:0") or "")
    assert (kind, failure["kind"]) == ("Failure", "reasoned_out")
    assert spent_nusd(spending(empty_redis, run_id)) == billed_nusd(standin) > 0


def test_what_a_judge_has_answered_is_not_asked_again(
    empty_url: str, empty_redis: Redis, standin: Running, run_id: str
) -> None:
    # Given a worker that dies when one of two judges has answered: the other's call never ends.
    job, keys = judged_job(run_id), RunKeys(run_id)
    empty_redis.set(keys.job(1, "e001", "score"), job.model_dump_json())
    written = ["Completion", {"slot": 0, "text": "Both.", "model": "m", "provider": "p"}]
    empty_redis.hset(keys.slots(1, "e001"), "generate:0", json.dumps(written))
    order(standin, "drip", "/judge1")

    async def dies(slots: Slots, caller: Caller) -> None:
        held = await begun(slots, run_id, "score")
        work = asyncio.create_task(score_group(slots, caller, held))
        await until(lambda: standin.control("received?last=0")["open"] == 1)
        await until(lambda: empty_redis.hlen(keys.slots(1, "e001")) == 2)
        await cut_off(work)
        await slots.release(held)

    async def takes_over(slots: Slots, caller: Caller) -> None:
        await score_group(slots, caller, await begun(slots, run_id, "score"))

    play(empty_url, standin, dies)
    before = standin.control("received?last=0")["count"]
    play(empty_url, standin, takes_over)

    # Then only the other judge is asked, and the reward says what both cost.
    assert before == 2
    assert standin.control("received?last=0")["count"] == 3
    kind, reward = json.loads(empty_redis.hget(keys.slots(1, "e001"), "score:0") or "")
    assert kind == "Reward"
    assert len(reward["judged"]) == 2


def test_no_call_leaves_for_a_group_that_is_in_other_hands(
    empty_url: str, empty_redis: Redis, standin: Running, run_id: str
) -> None:
    keys = RunKeys(run_id)
    empty_redis.set(keys.job(1, "e001", "generate"), generate_job(run_id).model_dump_json())

    async def scene(slots: Slots, caller: Caller) -> None:
        held = await begun(slots, run_id)
        empty_redis.set(held.lease, "another worker")
        with pytest.raises(Withdrawn, match="other hands"):
            await generate_group(slots, providers(caller), held)

    play(empty_url, standin, scene)

    assert standin.control("received?last=0")["count"] == 0
    assert empty_redis.hlen(keys.slots(1, "e001")) == 0
    assert spending(empty_redis, run_id).calls == {"generate": 0, "judge": 0, "eval": 0}


def test_a_worker_that_drains_ends_what_is_on_the_wire_and_leaves_the_rest(
    empty_url: str, empty_redis: Redis, standin: Running, run_id: str
) -> None:
    # Given more slots than the governor lets out at first.
    keys = RunKeys(run_id)
    job = generate_job(run_id, slots=16)
    empty_redis.set(keys.job(1, "e001", "generate"), job.model_dump_json())
    standin.control("settings", {"latency_ms": 1000})

    async def scene(slots: Slots, caller: Caller) -> None:
        held = await begun(slots, run_id)
        work = asyncio.create_task(generate_group(slots, providers(caller), held))
        await until(lambda: standin.control("received?last=0")["open"] >= 2)

        caller.drain()

        with pytest.raises(Withdrawn, match="stopping"):
            async with asyncio.timeout(PATIENCE_S):
                await work

    play(empty_url, standin, scene)

    # Then everything that left was kept, with its money, and nothing is held.
    left = standin.control("received?last=0")["count"]
    assert 2 <= left < 16
    assert empty_redis.hlen(keys.slots(1, "e001")) == left
    assert_equal_to_the_last_nano_dollar(empty_redis, run_id, standin)
