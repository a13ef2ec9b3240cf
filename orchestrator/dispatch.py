"""Fan out generation and scoring, gather the results, submit again what was lost.

The queue is a hint; the ledger is here. The dispatcher knows every slot it asked for by its
deterministic id, and a slot's result lies under that id, so a step that was interrupted goes on
with what is already there.
"""

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NoReturn

from redis import Redis
from redis.exceptions import RedisError, ResponseError

from orchestrator.broker import Broker
from orchestrator.group_store import GroupStore
from orchestrator.interrupts import Interrupted, Interrupts
from orchestrator.ledger import GroupJob, OpenGroup, Progress, SlotResult
from orchestrator.rollouts import GroupKey
from shared.errors import EnvironmentNotReady, RunStopped
from shared.fleet import live_workers
from shared.messages import Completion
from shared.patience import passes, refused_for_good
from shared.redis_address import refusal

#: Seconds between two looks at leases and workers.
TICK_S = 1.0
#: Ticks that a group may be in nobody's hands before it is submitted again.
BARE_TICKS = 2
#: Ticks that a group may wait in a queue that is not empty, before it is submitted again; doubled
#: each time. Its task may be lost among others, and a task too many finds nothing to do.
UNSEEN_TICKS = 10
#: Milliseconds that one read of the stream waits for news.
BLOCK_MS = 250
#: Seconds between two times that whoever observes is told.
OBSERVE_S = 0.1
#: Judged texts of which one must have a score, or the run stops.
FIRST_JUDGED = 24
#: Seconds that the calls in flight have to end after a signal.
DRAIN_S = 30.0

Observe = Callable[[Progress], None]
Results = dict[int, SlotResult]


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
        self._store = GroupStore(redis, run)
        self._interrupts = Interrupts() if interrupts is None else interrupts
        self._broker = broker
        self._worker_grace_s = worker_grace_s
        #: Groups that have not ended, and those that have, in the order of ending.
        self._open: dict[GroupKey, OpenGroup] = {}
        self._ended: dict[GroupKey, OpenGroup] = {}
        #: Groups that the deadline cut: their late results are still taken.
        self._cut: set[GroupKey] = set()
        self._late: list[dict[str, str]] = []
        #: Slots whose judges gave no score, until one has given one; then None.
        self._unread: set[tuple[GroupKey, int]] | None = set()
        self._workers = 0
        self._next_tick = self._next_word = 0.0
        self._alive_at = 0.0
        self.resubmitted = 0

    @property
    def open_groups(self) -> int:
        """Groups that have begun and not ended."""
        return len(self._open)

    def collect(
        self,
        jobs: Sequence[GroupJob],
        deadline_s: float,
        observe: Observe = lambda progress: None,
    ) -> dict[str, Results]:
        """Group id -> slot -> how it ended, when all have ended or the deadline has passed.

        Raises as ``gather`` does.
        """
        self.begin(jobs, deadline_s)
        found = self.gather([job.key for job in jobs], len(jobs), observe)
        return {job.key.group: found[job.key] for job in jobs}

    def begin(self, jobs: Sequence[GroupJob], deadline_s: float) -> None:
        """Send the groups on their way; each has ``deadline_s`` seconds from now on.

        Raises Interrupted after a signal, unless groups are in flight: ``gather`` lets their calls
        end first. Raises EnvironmentNotReady when Redis fails.
        """
        if self._interrupts.came and not self._open:
            raise Interrupted(self._interrupts.exit_code)
        with _redis_may_fail():
            end = time.monotonic() + deadline_s
            groups = [OpenGroup(job, deadline=end) for job in jobs]
            self._store.write(groups)
            for group, found in zip(groups, self._store.results(groups), strict=True):
                for field_name, value in found.items():
                    self._take_back(group, field_name, value)
                (self._ended if group.done() else self._open)[group.key] = group
            begun = [group for group in groups if group.key in self._open]
            self._broker.submit([self._advance(group) for group in begun])

    def gather(
        self, groups: Collection[GroupKey], count: int, observe: Observe = lambda progress: None
    ) -> dict[GroupKey, Results]:
        """The first ``count`` of these groups to end, in the order of ending.

        All of them must have begun. Raises EnvironmentNotReady when Redis fails or no worker lives
        for the grace time, RunStopped when a worker found that the run must stop, Interrupted after
        a signal, when the calls in flight have ended.
        """
        with _redis_may_fail():
            self._alive_at = time.monotonic()
            wanted = frozenset(groups)
            while len(wanted & self._ended.keys()) < count:
                self._wait(groups, observe)
            observe(self._progress(groups))
            ready = [key for key in self._ended if key in wanted][:count]
            return {key: self._ended.pop(key).results() for key in ready}

    def preload(self, step: int, group: str, completions: Iterable[Completion]) -> None:
        """Give a group completions that exist already; ``collect`` then only scores them."""
        for completion in completions:
            self._store.preload(GroupKey(step, group), completion)

    def close(self, groups: Iterable[GroupKey]) -> None:
        """Forget groups: their results are in the caller's hands."""
        self._store.forget([key for key in groups if key not in self._cut])

    def take_late(self) -> list[dict[str, str]]:
        """The results that came after their group had been closed, each once."""
        late, self._late = self._late, []
        return late

    def clear_stop(self) -> None:
        """Forget why the run stopped: a person has resumed it."""
        self._store.clear_stop()

    def _wait(self, groups: Collection[GroupKey], observe: Observe) -> None:
        """One round: deadlines, signals, leases, news."""
        now = time.monotonic()
        if overdue := [group for group in self._open.values() if now >= group.deadline]:
            self._cut_off(overdue)
            return
        if self._interrupts.came:
            self._drain(groups, observe)
        if now >= self._next_tick:
            self._look_around(now)
        next_deadline = min(group.deadline for group in self._open.values())
        self._read_news(min(BLOCK_MS, int((next_deadline - now) * 1000) + 1))
        if now >= self._next_word:
            self._next_word = now + OBSERVE_S
            observe(self._progress(groups))

    def _cut_off(self, overdue: Sequence[OpenGroup]) -> None:
        self._store.cut_off(overdue)
        for group in overdue:
            self._cut.add(group.key)
            self._ended[group.key] = self._open.pop(group.key)

    def _look_around(self, now: float) -> None:
        self._next_tick = now + TICK_S
        self._workers = len(live_workers(self.redis))
        self._alive_at = now if self._workers else self._alive_at
        if now - self._alive_at > self._worker_grace_s:
            raise EnvironmentNotReady(
                f"no worker has been alive for {self._worker_grace_s:.0f} s;"
                " start some with: orchestrator worker"
            )
        self._store.raise_if_stopped()
        self._look_after(list(self._open.values()))

    def _look_after(self, groups: Sequence[OpenGroup]) -> None:
        """Submit again the groups that are in nobody's hands and in no queue."""
        waiting = self._store.queued()
        lost = []
        for group, leased in zip(groups, self._store.leased(groups), strict=True):
            bare = not leased and (group.leased or not waiting[group.role])
            group.leased = group.leased or leased
            group.bare_ticks = group.bare_ticks + 1 if bare else 0
            group.unseen_ticks = 0 if group.leased else group.unseen_ticks + 1
            unseen = group.unseen_ticks >= UNSEEN_TICKS * 2 ** (group.attempt - 1)
            if unseen or group.bare_ticks >= BARE_TICKS:
                group.attempt, group.leased = group.attempt + 1, False
                group.bare_ticks = group.unseen_ticks = 0
                lost.append(group)
        self.resubmitted += len(lost)
        # A server that lost its last second may have lost their jobs too.
        self._store.write(lost)
        self._broker.submit(lost)

    def _read_news(self, block_ms: int) -> None:
        touched: dict[GroupKey, OpenGroup] = {}
        for entry in self._store.news(block_ms):
            if "stop" in entry:
                raise RunStopped(entry["stop"], entry["sentence"])
            group = self._open.get(_key_of(entry))
            if group:
                _take(group, entry["field"], entry["result"])
                touched[group.key] = group
            else:
                self._late.append(dict(entry))
        for group in touched.values():
            self._refuse_unread(group)
        self._move_on(touched)

    def _refuse_unread(self, group: OpenGroup) -> None:
        """Stop the run if no judge's answer can be read: more of them would be paid for nothing."""
        if self._unread is None:
            return
        if group.is_judged():
            self._unread = None
            return
        unread = group.unread()
        self._unread |= {(group.key, failure.slot) for failure in unread}
        if unread and len(self._unread) >= FIRST_JUDGED:
            sentence = (
                f"none of the first {len(self._unread)} judged texts has a score. The last:"
                f" {unread[-1].message}. Name another judge, raise judge_max_tokens, or ask for the"
                " score in the rubric"
            )
            self._store.stop("judge", sentence)
            raise RunStopped("judge", sentence)

    def _move_on(self, touched: Mapping[GroupKey, OpenGroup]) -> None:
        ready = []
        for key, group in touched.items():
            if group.done():
                self._ended[key] = self._open.pop(key)
            elif group.role == "generate" and group.generation_done():
                ready.append(self._advance(group))
        self._broker.submit(ready)

    def _advance(self, group: OpenGroup) -> OpenGroup:
        if group.role == "generate" and group.generation_done():
            group.role, group.attempt, group.leased = "score", 1, False
            group.bare_ticks = group.unseen_ticks = 0
        return group

    def _take_back(self, group: OpenGroup, field_name: str, value: str) -> None:
        try:
            group.take(field_name, value)
        except ValueError:
            # Kept aside as it is, and its slot is done again.
            step, name = group.key
            entry = {"step": str(step), "group": name, "field": field_name}
            self._late.append({**entry, "result": value})
            self._store.discard(group.key, field_name)

    def _drain(self, groups: Collection[GroupKey], observe: Observe) -> NoReturn:
        """Let the calls in flight end, and no other begin; their results wait for the resume."""
        self._store.stop("interrupted", "the run was interrupted")
        end = time.monotonic() + DRAIN_S
        while time.monotonic() < end and any(self._store.leased(list(self._open.values()))):
            for entry in self._store.news(BLOCK_MS):
                group = self._open.get(_key_of(entry))
                if group:
                    _take(group, entry["field"], entry["result"])
                else:
                    self._late.append(dict(entry))
            observe(self._progress(groups)._replace(draining=True))
        raise Interrupted(self._interrupts.exit_code)

    def _progress(self, keys: Collection[GroupKey]) -> Progress:
        slots = scored = failed = 0
        for key in keys:
            group = self._open.get(key) or self._ended.get(key)
            if group is not None:
                slots += len(group.job.generate.prompts)
                scored += group.rewards
                failed += group.failures
        return Progress(slots, scored, failed, self.resubmitted, self._workers)


def _take(group: OpenGroup, field_name: str, result: str) -> None:
    try:
        group.take(field_name, result)
    except ValueError as error:
        raise EnvironmentNotReady(
            f"a worker wrote a result that cannot be read ({group.job.label}: {error});"
            " run the same version everywhere, see: orchestrator doctor"
        ) from None


def _key_of(entry: Mapping[str, str]) -> GroupKey:
    """The group that an entry of the stream is about; that of no group for any other entry."""
    step = entry.get("step", "")
    return GroupKey(int(step) if step.isdecimal() else -1, entry.get("group", ""))


@contextmanager
def _redis_may_fail() -> Iterator[None]:
    try:
        yield
    except RedisError as error:
        if isinstance(error, ResponseError) and not passes(error):
            raise EnvironmentNotReady(refused_for_good(error)) from None
        raise EnvironmentNotReady(
            f"Redis failed during the step ({type(error).__name__}: {refusal(error)})"
        ) from None
