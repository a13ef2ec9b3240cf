"""What Flower hears of long tasks."""

import asyncio

import pytest
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from shared.keys import RunKeys
from worker import progress
from worker.progress import TaskProgress
from worker.slots import GroupTask

LABEL = "s003 e017 x8: Explain quantum computing"


def test_a_long_task_tells_how_many_slots_have_ended_whenever_there_are_more(
    server: str, redis: Redis, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = GroupTask(run_id, 3, "e017", "generate", 1)
    slots = RunKeys(run_id).slots(3, "e017")
    told: list[tuple[str, str]] = []

    async def watch() -> None:
        async with AsyncRedis.from_url(f"{server}/0", decode_responses=True) as client:
            shown = TaskProgress(client)
            shown.tell = lambda task_id, label: told.append((task_id, label))
            shown.began(task, "id-1", LABEL)
            redis.hset(slots, mapping={"generate:0": "{}", "generate:3": "{}", "score:0": "{}"})
            await shown.look()
            assert told == [], "a task that has just begun is not told of"
            monkeypatch.setattr(progress, "LONG_S", 0.0)
            await shown.look()
            await shown.look()
            redis.hset(slots, "generate:1", "{}")
            await shown.look()
            shown.ended(task)
            await shown.look()

    asyncio.run(watch())

    assert told == [
        ("id-1", "s003 e017 x8 (2 done): Explain quantum computing"),
        ("id-1", "s003 e017 x8 (3 done): Explain quantum computing"),
        ("id-1", LABEL),
    ]


def test_a_short_task_is_not_told_of(server: str) -> None:
    told: list[tuple[str, str]] = []
    shown = TaskProgress(AsyncRedis.from_url(f"{server}/0"))
    shown.tell = lambda task_id, label: told.append((task_id, label))
    task = GroupTask("run", 1, "e001", "score", 1)

    shown.began(task, "id-1", LABEL)
    shown.ended(task)

    assert told == []
