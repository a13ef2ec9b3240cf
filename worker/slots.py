"""The worker's side of a group's slots in Redis: take the lease, read, commit, give back.

A slot's result is committed once, under a deterministic key, as soon as it exists; whoever comes
second changes nothing. What a call was paid for is committed by the script that settles its money
(``governor``). The scripts run on the server, so each is one decision.
"""

import asyncio
import itertools
from collections.abc import Mapping
from importlib.resources import files
from typing import NamedTuple

from shared.keys import JOB_TTL_S, LEASE_TTL_S, Role, RunKeys, slot_field
from shared.messages import Message
from shared.results import written
from worker.scripting import Scripting

_tokens = itertools.count()


class GroupTask(NamedTuple):
    """What a Celery task carries: the ids of a group's job, and the attempt."""

    run: str
    step: int
    group: str
    role: Role
    attempt: int


class Commit(NamedTuple):
    """Results on their way to Redis: what ``commit.lua`` takes."""

    keys: list[str]
    args: list[str | int]


class Held(NamedTuple):
    """A group in this worker's hands."""

    task: GroupTask
    #: The value of the lease key: nobody else has the same.
    holder: str
    #: The job as JSON.
    job: str
    #: Field of the slots' hash -> result as JSON.
    slots: dict[str, str]

    @property
    def lease(self) -> str:
        """The lease's key."""
        return RunKeys(self.task.run).lease(self.task.step, self.task.group, self.task.role)

    def result(self, role: Role, slot: int) -> str | None:
        """The committed result of a slot as JSON, or None."""
        return self.slots.get(slot_field(role, slot))

    def commit(self, results: Mapping[str, Message]) -> Commit:
        """What keeps these results, by their fields."""
        task, keys = self.task, RunKeys(self.task.run)
        pairs = [word for field, result in results.items() for word in (field, written(result))]
        return Commit(
            [
                keys.slots(task.step, task.group),
                keys.events,
                keys.job(task.step, task.group, task.role),
                self.lease,
            ],
            [task.step, task.group, JOB_TTL_S, self.holder, *pairs],
        )


class Slots:
    """Leases and results, for all groups of one worker process. Lives on the worker's loop."""

    def __init__(self, scripting: Scripting, worker: str, lease_s: float = LEASE_TTL_S) -> None:
        """``lease_s``: how long a lease outlives its last renewal."""
        self._worker = worker
        self._lease_ms = int(lease_s * 1000)
        self._held: dict[str, str] = {}
        self._begin = scripting.script(lua("begin"))
        self._commit = scripting.script(lua("commit") + "return commit(1, 1)")
        self._renew = scripting.script(lua("renew"))
        self._release = scripting.script(lua("release"))

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
            args=[holder, self._lease_ms],
        )
        if not found:
            return None
        self._held[lease] = holder
        flat = found[1]
        slots = dict(zip(flat[::2], flat[1::2], strict=True))
        return Held(task, holder, found[0], slots)

    async def commit(self, held: Held, results: Mapping[int, Message]) -> None:
        """Keep the results of slots and tell the orchestrator; a slot that has one keeps it."""
        role = held.task.role
        keys, args = held.commit({slot_field(role, slot): r for slot, r in results.items()})
        await self._commit(keys=keys, args=args)

    @property
    def in_hand(self) -> int:
        """Groups that this worker holds."""
        return len(self._held)

    async def release(self, held: Held) -> None:
        """Give the group back."""
        self._held.pop(held.lease, None)
        await self._release(keys=[held.lease], args=[held.holder])

    async def renew_all(self) -> None:
        """Prolong every lease that this worker holds."""
        held = list(self._held.items())
        renewals = [
            self._renew(keys=[lease], args=[holder, self._lease_ms]) for lease, holder in held
        ]
        await asyncio.gather(*renewals)


def lua(name: str) -> str:
    """The text of one of the worker's scripts."""
    return files("worker").joinpath(f"{name}.lua").read_text(encoding="utf-8")
