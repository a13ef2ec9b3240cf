"""The worker's side of a group's slots in Redis: take the lease, read, commit, give back.

A slot's result is committed once, under a deterministic key, as soon as it exists; whoever comes
second changes nothing. The scripts run on the server, so each is one decision.
"""

import asyncio
import itertools
from collections.abc import Awaitable, Mapping
from importlib.resources import files
from typing import Any, NamedTuple, cast

from redis.asyncio import Redis

from shared.keys import JOB_TTL_S, LEASE_TTL_S, Role, RunKeys, slot_field
from shared.messages import Message

_tokens = itertools.count()


class GroupTask(NamedTuple):
    """What a Celery task carries: the ids of a group's job, and the attempt."""

    run: str
    step: int
    group: str
    role: Role
    attempt: int


class Held(NamedTuple):
    """A group in this worker's hands."""

    task: GroupTask
    #: The value of the lease key: nobody else has the same.
    holder: str
    #: The job as JSON.
    job: str
    #: Field of the slots' hash -> result as JSON.
    slots: dict[str, str]

    def result(self, role: Role, slot: int) -> str | None:
        """The committed result of a slot as JSON, or None."""
        return self.slots.get(slot_field(role, slot))


class Slots:
    """Leases and results, for all groups of one worker process. Lives on the worker's loop."""

    def __init__(self, redis: Redis, worker: str) -> None:
        self._redis = redis
        self._worker = worker
        self._held: dict[str, str] = {}
        self._begin = redis.register_script(lua("begin"))
        self._commit = redis.register_script(lua("commit"))
        self._renew = redis.register_script(lua("renew"))
        self._release = redis.register_script(lua("release"))

    async def begin(self, task: GroupTask) -> Held | None:
        """Take the group; None if its job is gone or another worker has it in hand."""
        keys = RunKeys(task.run)
        lease = keys.lease(task.step, task.group, task.role)
        holder = f"{self._worker} attempt {task.attempt} #{next(_tokens)}"
        found = await self._begin(
            keys=[
                lease,
                keys.job(task.step, task.group, task.role),
                keys.slots(task.step, task.group),
                keys.stop,
            ],
            args=[holder, LEASE_TTL_S * 1000],
        )
        if not found:
            return None
        self._held[lease] = holder
        flat = found[1]
        slots = dict(zip(flat[::2], flat[1::2], strict=True))
        return Held(task, holder, found[0], slots)

    async def commit(self, task: GroupTask, results: Mapping[int, Message]) -> None:
        """Keep the results of slots and tell the orchestrator; a slot that has one keeps it."""
        keys = RunKeys(task.run)
        pairs: list[str] = []
        for slot, result in results.items():
            pairs += [slot_field(task.role, slot), entry(result)]
        await self._commit(
            keys=[
                keys.slots(task.step, task.group),
                keys.events,
                keys.job(task.step, task.group, task.role),
            ],
            args=[task.step, task.group, JOB_TTL_S, *pairs],
        )

    async def release(self, held: Held) -> None:
        """Give the group back."""
        lease = RunKeys(held.task.run).lease(held.task.step, held.task.group, held.task.role)
        self._held.pop(lease, None)
        await self._release(keys=[lease], args=[held.holder])

    async def renew_all(self) -> None:
        """Prolong every lease that this worker holds."""
        held = list(self._held.items())
        renewals = [
            self._renew(keys=[lease], args=[holder, LEASE_TTL_S * 1000]) for lease, holder in held
        ]
        await asyncio.gather(*(cast(Awaitable[Any], renewal) for renewal in renewals))


def entry(result: Message) -> str:
    """A result with its type's name, as it lies in Redis: ``["Completion", {...}]``."""
    return f'["{type(result).__name__}",{result.model_dump_json()}]'


def lua(name: str) -> str:
    """The text of one of the worker's scripts."""
    return files("worker").joinpath(f"{name}.lua").read_text(encoding="utf-8")
