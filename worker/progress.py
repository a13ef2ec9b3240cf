"""How far long tasks are, for Flower: ``s003 e017 x8 (5 done): Explain …`` in state PROGRESS.

Looked up once a heartbeat, and only for tasks that have lasted one: short ones cost nothing.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from redis.asyncio import Redis

from shared.keys import RunKeys
from worker.slots import GroupTask

#: Seconds that a task must have lasted to be told of.
LONG_S = 1.0

#: Task id and what stands in the place of its arguments.
Tell = Callable[[str, str], None]


@dataclass
class _Shown:
    id: str
    #: "s003 e017 x8: Explain quantum computing".
    label: str
    since: float
    done: int = 0


class TaskProgress:
    """The tasks in hand of one worker."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._tasks: dict[GroupTask, _Shown] = {}
        #: Whoever shows it; set when Celery's consumer is there.
        self.tell: Tell = lambda task_id, label: None

    def began(self, task: GroupTask, task_id: str, label: str) -> None:
        """A task was taken up."""
        self._tasks[task] = _Shown(task_id, label, time.monotonic())

    def ended(self, task: GroupTask) -> None:
        """It has ended: its label is as at the start."""
        shown = self._tasks.pop(task, None)
        if shown is not None and shown.done:
            self.tell(shown.id, shown.label)

    async def look(self) -> None:
        """Tell of every long task that got further. Raises RedisError."""
        long_ago = time.monotonic() - LONG_S
        tasks = [(task, shown) for task, shown in self._tasks.items() if shown.since < long_ago]
        if not tasks:
            return
        pipe = self._redis.pipeline(transaction=False)
        for task, _ in tasks:
            pipe.hkeys(RunKeys(task.run).slots(task.step, task.group))
        for (task, shown), fields in zip(tasks, await pipe.execute(), strict=True):
            done = sum(field.startswith(f"{task.role}:") for field in fields)
            if done != shown.done and task in self._tasks:
                shown.done = done
                self.tell(shown.id, _with(shown.label, done))


def _with(label: str, done: int) -> str:
    ids, colon, words = label.partition(":")
    return f"{ids} ({done} done){colon}{words}"
