"""A run's groups in Redis, from the orchestrator's side: jobs, results, leases, news, the stop."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from redis import Redis

from orchestrator.ledger import OpenGroup
from orchestrator.rollouts import GroupKey
from shared.errors import RunStopped
from shared.keys import (
    ALL_LINES,
    CLOSED,
    JOB_TTL_S,
    LONGEST_LEASE_S,
    WORD_TTL_MS,
    Role,
    RunKeys,
    slot_field,
)
from shared.messages import Completion, GenerateJob, Reward, ScoreJob
from shared.results import written

#: Entries of the stream that one read takes at most.
NEWS_AT_ONCE = 2000


class GroupStore:
    """One run's groups; the only reader of its stream in this process."""

    def __init__(self, redis: Redis, run: str) -> None:
        self._redis = redis
        self._run = run
        self._keys = RunKeys(run)
        #: Where the stream was read to; None = not yet.
        self._cursor: str | None = None

    def write(self, groups: Iterable[OpenGroup]) -> None:
        """The groups' jobs, for the workers."""
        pipe = self._redis.pipeline(transaction=False)
        for group in groups:
            generate, score, _ = group.job
            jobs: tuple[tuple[Role, GenerateJob | ScoreJob | None], ...]
            jobs = (("generate", generate), ("score", score))
            for role, job in jobs:
                if job is not None:
                    key = self._keys.job(generate.step, generate.group, role)
                    pipe.set(key, job.model_dump_json(), ex=JOB_TTL_S)
        pipe.execute()

    def results(self, groups: Sequence[OpenGroup]) -> list[Mapping[str, str]]:
        """Per group: field -> result, as an interrupted attempt left it; the stream has what
        follows. Groups that were cut off then may begin again."""
        if self._cursor is None:
            last = self._redis.xrevrange(self._keys.events, count=1)
            self._cursor = str(last[0][0]) if last else "0-0"
        leases = self._leases(groups)
        holders = zip(leases, self._redis.mget(leases) if leases else [], strict=True)
        if closed := [lease for lease, holder in holders if holder == CLOSED]:
            self._redis.delete(*closed)
        pipe = self._redis.pipeline(transaction=False)
        for group in groups:
            pipe.hgetall(self._keys.slots(*group.key))
        return list(pipe.execute())

    def preload(self, key: GroupKey, result: Completion | Reward) -> None:
        """A result that exists already."""
        field_name = slot_field("score" if isinstance(result, Reward) else "generate", result.slot)
        self._redis.hset(self._keys.slots(*key), field_name, written(result))

    def discard(self, key: GroupKey, field_name: str) -> None:
        """Remove a result that cannot be read, so that its slot is done again."""
        self._redis.hdel(self._keys.slots(*key), field_name)

    def cut_off(self, groups: Iterable[OpenGroup]) -> None:
        """Let the groups' calls in flight end, to be kept as late results, and no other begin."""
        pipe = self._redis.pipeline(transaction=False)
        for key in self._leases(groups):
            pipe.set(key, CLOSED, ex=JOB_TTL_S)
        pipe.execute()

    def leased(self, groups: Sequence[OpenGroup]) -> list[bool]:
        """Per group: whether a worker has it in hand."""
        pipe = self._redis.pipeline(transaction=False)
        for group in groups:
            pipe.pttl(self._keys.lease(*group.key, group.role))
        # Beyond the longest lease: the clock was put back since, and its worker is dead.
        return [0 <= left_ms <= LONGEST_LEASE_S * 1000 for left_ms in pipe.execute()]

    def queued(self) -> dict[str, int]:
        """Tasks that wait in each queue, of all runs."""
        return {role: int(self._redis.llen(role)) for role in ("generate", "score")}

    def news(self, block_ms: int) -> list[Mapping[str, str]]:
        """The entries that the stream has had since, waiting ``block_ms`` for the first."""
        found: list[Mapping[str, str]] = []
        answer = self._redis.xread(
            {self._keys.events: self._cursor or "0-0"}, count=NEWS_AT_ONCE, block=block_ms
        )
        for _, entries in _streams(answer):
            for entry_id, entry in entries:
                self._cursor = entry_id
                found.append(entry)
        return found

    def forget(self, groups: Iterable[GroupKey]) -> None:
        """Remove jobs and results, and what was read of the stream."""
        pipe = self._redis.pipeline(transaction=False)
        for key in groups:
            for role in ("generate", "score"):
                pipe.unlink(self._keys.job(*key, role))
            pipe.unlink(self._keys.slots(*key))
        pipe.xtrim(self._keys.events, minid=self._cursor or "0-0", approximate=False)
        pipe.execute()

    def stop(self, kind: str, sentence: str) -> None:
        """Let no more calls of the run begin, and wake those that wait to leave: they hear it."""
        self._redis.set(self._keys.stop, json.dumps({"kind": kind, "sentence": sentence}))
        for line in self._redis.scan_iter(ALL_LINES, count=1000):
            for mailbox, head in self._redis.hgetall(line).items():
                if json.loads(head).get("run") == self._run:
                    self._redis.rpush(mailbox, "wake")
                    self._redis.pexpire(mailbox, WORD_TTL_MS)

    def clear_stop(self) -> None:
        """Forget why the run stopped: a person has resumed it."""
        self._redis.delete(self._keys.stop)

    def raise_if_stopped(self) -> None:
        """Raises RunStopped if a worker found that the run must stop."""
        found = self._redis.get(self._keys.stop)
        if found:
            raise RunStopped(**json.loads(str(found)))

    def _leases(self, groups: Iterable[OpenGroup]) -> list[str]:
        roles: tuple[Role, ...] = ("generate", "score")
        return [self._keys.lease(*group.key, role) for group in groups for role in roles]


def _streams(answer: Any) -> Iterable[tuple[str, Any]]:
    """XREAD's answer as (stream, entries) under either version of the protocol."""
    if isinstance(answer, dict):
        return [(name, entries[0]) for name, entries in answer.items()]
    return answer or []
