"""Fan out generation and scoring, gather the results, submit again what was lost.

The queue is a hint; the ledger is here. The dispatcher knows every slot it asked for by its
deterministic id, and a slot's result lies under that id, so a step that was interrupted goes on
with what is already there.
"""

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NoReturn

from redis import Redis
from redis.exceptions import RedisError

from orchestrator.broker import Broker
from orchestrator.interrupts import Interrupted, Interrupts
from orchestrator.ledger import GroupJob, OpenGroup, Progress, SlotResult
from shared.errors import EnvironmentNotReady, RunStopped
from shared.fleet import live_workers
from shared.keys import CLOSED, JOB_TTL_S, Role, RunKeys, slot_field
from shared.messages import Completion, Failure, GenerateJob, Reward, ScoreJob

#: Seconds between two looks at leases and workers.
TICK_S = 1.0
#: Ticks that a group may be in nobody's hands before it is submitted again.
BARE_TICKS = 2
#: Milliseconds that one read of the stream waits for news.
BLOCK_MS = 250
#: Seconds between two times that whoever observes is told.
OBSERVE_S = 0.1
#: Seconds that the calls in flight have to end after a signal.
DRAIN_S = 30.0


class Dispatcher:
    """Sends a run's groups to the workers and gathers them. One per run and process."""

    def __init__(
        self,
        redis: Redis,
        broker: Broker,
        run: str,
        worker_grace_s: float,
        interrupts: Interrupts | None = None,
    ) -> None:
        self.redis = redis
        self._interrupts = Interrupts() if interrupts is None else interrupts
        self._late: list[dict[str, str]] = []
        #: (step, group) of groups that the deadline cut: their late results are still taken.
        self._cut: set[tuple[int, str]] = set()
        self._broker = broker
        self._keys = RunKeys(run)
        self._worker_grace_s = worker_grace_s
        #: Where the stream was read to; None = not yet.
        self._cursor: str | None = None
        self.resubmitted = 0

    def collect(
        self,
        jobs: Sequence[GroupJob],
        deadline_s: float,
        observe: Callable[[Progress], None] = lambda progress: None,
    ) -> dict[str, dict[int, SlotResult]]:
        """Group id -> slot -> how it ended, when all have ended or the deadline has passed.

        Raises EnvironmentNotReady when Redis fails or no worker lives for the grace time,
        RunStopped when a worker found that the run must stop, Interrupted after a signal, when the
        calls in flight have ended.
        """
        groups = {job.generate.group: OpenGroup(job) for job in jobs}
        try:
            return self._collect(groups, deadline_s, observe)
        except RedisError as error:
            raise EnvironmentNotReady(
                f"Redis failed during the step ({type(error).__name__}: {error})"
            ) from None

    def preload(self, step: int, group: str, completions: Iterable[Completion]) -> None:
        """Give a group completions that exist already; ``collect`` then only scores them."""
        for completion in completions:
            value = json.dumps(["Completion", completion.model_dump(mode="json")])
            field_name = slot_field("generate", completion.slot)
            self.redis.hset(self._keys.slots(step, group), field_name, value)

    def close(self, step: int, groups: Iterable[str]) -> None:
        """Forget a step's groups: their results are in the caller's hands."""
        pipe = self.redis.pipeline(transaction=False)
        for group in groups:
            if (step, group) in self._cut:
                continue
            for role in ("generate", "score"):
                pipe.unlink(self._keys.job(step, group, role))
            pipe.unlink(self._keys.slots(step, group))
        pipe.xtrim(self._keys.events, minid=self._cursor or "0-0", approximate=False)
        pipe.execute()

    def _collect(
        self, groups: dict[str, OpenGroup], deadline_s: float, observe: Callable[[Progress], None]
    ) -> dict[str, dict[int, SlotResult]]:
        if self._interrupts.came:
            raise Interrupted(self._interrupts.exit_code)
        end = time.monotonic() + deadline_s
        self._write(groups.values())
        self._read_back(groups)
        open_groups = {name: group for name, group in groups.items() if not group.done()}
        self._broker.submit([self._advance(group) for group in open_groups.values()])
        workers, next_tick, next_word, alive = 0, 0.0, 0.0, time.monotonic()
        while open_groups:
            now = time.monotonic()
            if now >= end:
                self._cut_off(open_groups)
                break
            if self._interrupts.came:
                self._drain(groups, open_groups, workers, observe)
            if now >= next_tick:
                workers = len(live_workers(self.redis))
                alive = now if workers else alive
                if now - alive > self._worker_grace_s:
                    raise EnvironmentNotReady(
                        f"no worker has been alive for {self._worker_grace_s:.0f} s;"
                        " start some with: orchestrator worker"
                    )
                self._raise_if_stopped()
                self._look_after(list(open_groups.values()))
                next_tick = now + TICK_S
            touched = self._read_news(groups, min(BLOCK_MS, int((end - now) * 1000) + 1))
            self._move_on(open_groups, touched)
            if now >= next_word:
                observe(self._progress(groups.values(), workers))
                next_word = now + OBSERVE_S
        observe(self._progress(groups.values(), workers))
        return {name: group.results() for name, group in groups.items()}

    def _cut_off(self, open_groups: Mapping[str, OpenGroup]) -> None:
        """Let the calls in flight end, to be kept as late results, and no other begin."""
        self._cut |= {(group.job.generate.step, name) for name, group in open_groups.items()}
        pipe = self.redis.pipeline(transaction=False)
        for key in self._leases(open_groups.values()):
            pipe.set(key, CLOSED, ex=JOB_TTL_S)
        pipe.execute()

    def _leases(self, groups: Iterable[OpenGroup]) -> list[str]:
        jobs = [group.job.generate for group in groups]
        roles: tuple[Role, ...] = ("generate", "score")
        return [self._keys.lease(job.step, job.group, role) for job in jobs for role in roles]

    def _write(self, groups: Iterable[OpenGroup]) -> None:
        pipe = self.redis.pipeline(transaction=False)
        for group in groups:
            generate, score, _ = group.job
            jobs: tuple[tuple[Role, GenerateJob | ScoreJob | None], ...]
            jobs = (("generate", generate), ("score", score))
            for role, job in jobs:
                if job is not None:
                    key = self._keys.job(generate.step, generate.group, role)
                    pipe.set(key, job.model_dump_json(), ex=JOB_TTL_S)
        pipe.execute()

    def _read_back(self, groups: Mapping[str, OpenGroup]) -> None:
        """Take over what an interrupted attempt at this step left; the stream has what follows."""
        if self._cursor is None:
            last = self.redis.xrevrange(self._keys.events, count=1)
            self._cursor = str(last[0][0]) if last else "0-0"
        leases = self._leases(groups.values())
        holders = zip(leases, self.redis.mget(leases), strict=True)
        if closed := [lease for lease, holder in holders if holder == CLOSED]:
            # The step was cut and then not committed: it is done again.
            self.redis.delete(*closed)
        pipe = self.redis.pipeline(transaction=False)
        for group in groups.values():
            pipe.hgetall(self._keys.slots(group.job.generate.step, group.job.generate.group))
        for group, found in zip(groups.values(), pipe.execute(), strict=True):
            for field_name, value in found.items():
                self._take_back(group, field_name, value)

    def _take_back(self, group: OpenGroup, field_name: str, value: str) -> None:
        try:
            group.take(field_name, value)
        except ValueError:
            # Kept aside as it is, and its slot is done again.
            job = group.job.generate
            entry = {"step": str(job.step), "group": job.group, "field": field_name}
            self._late.append({**entry, "result": value})
            self.redis.hdel(self._keys.slots(job.step, job.group), field_name)

    def _advance(self, group: OpenGroup) -> OpenGroup:
        if group.role == "generate" and group.generation_done():
            group.role, group.attempt = "score", 1
            group.leased, group.bare_ticks = False, 0
        return group

    def _drain(
        self,
        groups: Mapping[str, OpenGroup],
        open_groups: Mapping[str, OpenGroup],
        workers: int,
        observe: Callable[[Progress], None],
    ) -> NoReturn:
        """Let the calls in flight end, and no other begin; their results wait for the resume."""
        stop = {"kind": "interrupted", "sentence": "the run was interrupted"}
        self.redis.set(self._keys.stop, json.dumps(stop))
        end = time.monotonic() + DRAIN_S
        while time.monotonic() < end and any(self._leased(list(open_groups.values()))):
            self._read_news(groups, BLOCK_MS)
            progress = self._progress(groups.values(), workers)
            observe(progress._replace(draining=True))
        raise Interrupted(self._interrupts.exit_code)

    def _leased(self, groups: Sequence[OpenGroup]) -> list[bool]:
        """Per group: whether a worker has it in hand."""
        pipe = self.redis.pipeline(transaction=False)
        for group in groups:
            job = group.job.generate
            pipe.exists(self._keys.lease(job.step, job.group, group.role))
        return [bool(found) for found in pipe.execute()]

    def _read_news(self, groups: Mapping[str, OpenGroup], block_ms: int) -> set[str]:
        touched: set[str] = set()
        for _, entries in _streams(
            self.redis.xread({self._keys.events: self._cursor or "0-0"}, count=2000, block=block_ms)
        ):
            for entry_id, entry in entries:
                self._cursor = entry_id
                if "stop" in entry:
                    raise RunStopped(entry["stop"], entry["sentence"])
                group = groups.get(entry.get("group", ""))
                if group and entry["step"] == str(group.job.generate.step):
                    self._take(group, entry["field"], entry["result"])
                    touched.add(entry["group"])
                else:
                    self._late.append(dict(entry))
        return touched

    def _take(self, group: OpenGroup, field_name: str, result: str) -> None:
        try:
            group.take(field_name, result)
        except ValueError as error:
            raise EnvironmentNotReady(
                f"a worker wrote a result that cannot be read ({group.job.label}: {error});"
                " run the same version everywhere, see: orchestrator doctor"
            ) from None

    def _move_on(self, open_groups: dict[str, OpenGroup], touched: set[str]) -> None:
        ready = []
        for name in sorted(touched & open_groups.keys()):
            group = open_groups[name]
            if group.done():
                del open_groups[name]
            elif group.role == "generate" and group.generation_done():
                ready.append(self._advance(group))
        self._broker.submit(ready)

    def take_late(self) -> list[dict[str, str]]:
        """The results that came after their step had closed, each once."""
        late, self._late = self._late, []
        return late

    def clear_stop(self) -> None:
        """Forget why the run stopped: a person has resumed it."""
        self.redis.delete(self._keys.stop)

    def _raise_if_stopped(self) -> None:
        found = self.redis.get(self._keys.stop)
        if found:
            raise RunStopped(**json.loads(str(found)))

    def _look_after(self, groups: Sequence[OpenGroup]) -> None:
        """Submit again the groups that are in nobody's hands and in no queue."""
        waiting = {role: int(self.redis.llen(role)) for role in ("generate", "score")}
        lost = []
        for group, leased in zip(groups, self._leased(groups), strict=True):
            bare = not leased and (group.leased or not waiting[group.role])
            group.leased = group.leased or leased
            group.bare_ticks = group.bare_ticks + 1 if bare else 0
            if group.bare_ticks >= BARE_TICKS:
                group.attempt, group.leased, group.bare_ticks = group.attempt + 1, False, 0
                lost.append(group)
        self.resubmitted += len(lost)
        # A server that lost its last second may have lost their jobs too.
        self._write(lost)
        self._broker.submit(lost)

    def _progress(self, groups: Iterable[OpenGroup], workers: int) -> Progress:
        slots = scored = failed = 0
        for group in groups:
            slots += len(group.slots())
            outcomes = [*group.generated.values(), *group.scored.values()]
            scored += sum(isinstance(o, Reward) for o in outcomes)
            failed += sum(isinstance(o, Failure) for o in outcomes)
        return Progress(slots, scored, failed, self.resubmitted, workers)


def _streams(answer: Any) -> Iterable[tuple[str, Any]]:
    """XREAD's answer as (stream, entries) under either version of the protocol."""
    if isinstance(answer, dict):
        return [(name, entries[0]) for name, entries in answer.items()]
    return answer or []
