"""Ask the fleet for what a folder lacks, a window of groups at a time, and keep it as it comes."""

import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from orchestrator.budget import book_questions, restore_ledger, saved_ledger
from orchestrator.comparison.cost import Remaining
from orchestrator.comparison.folder import Folder, slot_rows
from orchestrator.config import RunConfig
from orchestrator.dispatch import Dispatcher
from orchestrator.engine import Engine, check_rewards, engine
from orchestrator.group_store import GroupStore
from orchestrator.interrupts import Interrupted, Interrupts
from orchestrator.ledger import GroupJob, Progress
from orchestrator.questions import Came
from orchestrator.rollouts import Example, GroupKey
from orchestrator.state_lock import lock_state
from shared.errors import EnvironmentNotReady, RunStopped, UsageError
from shared.messages import Completion, Reward, RewardTerm

#: Slots on their way for each call that may be in flight: enough that no call waits for a group,
#: few enough that a group is not old before its turn comes.
SLOTS_PER_CALL = 2


class Sofar(NamedTuple):
    """How far asking has come."""

    done: int
    total: int
    workers: int
    #: A signal came: no new calls, those in flight may end.
    draining: bool


Observe = Callable[[Sofar], None]


class Wanted(NamedTuple):
    """A group that is asked for, and what its rows say it is."""

    job: GroupJob
    arm: str
    example: Example
    #: Texts that are there already and only want their scores.
    given: tuple[Completion, ...] = ()


class Asker:
    """Asks through one engine for one folder."""

    def __init__(self, folder: Folder, dispatcher: Dispatcher, config: RunConfig) -> None:
        self._folder = folder
        self._dispatcher = dispatcher
        self._store = GroupStore(dispatcher.redis, folder.run)
        self._config = config

    def ask(self, wanted: Sequence[Wanted], observe: Observe) -> None:
        """Have everything that is missing done; what fails is missing still.

        Raises as ``Dispatcher.gather`` does; every answer that came is kept.
        """
        waiting = deque(one for one in wanted if self._folder.missing(one.job))
        under_way: dict[GroupKey, Wanted] = {}
        total = sum(len(one.job.generate.prompts) for one in waiting)
        done = 0

        def tell(progress: Progress) -> None:
            ended = done + progress.scored + progress.failed
            observe(Sofar(min(ended, total), total, progress.workers, progress.draining))

        while waiting or under_way:
            begun = self._next(waiting, under_way)
            self._dispatcher.begin([one.job for one in begun], self._config.step_deadline_s)
            under_way.update((one.job.key, one) for one in begun)
            found = self._dispatcher.gather(list(under_way), max(1, len(under_way) // 8), tell)
            rows: list[dict[str, Any]] = []
            for key, results in found.items():
                one = under_way.pop(key)
                rows += slot_rows(one.job, one.arm, one.example, results)
            self._folder.keep(rows)
            self._folder.keep_late(self._dispatcher.take_late())
            self.keep_ledger(complete=False)
            # Only now: what is forgotten in Redis is on the disk.
            self._dispatcher.close(found)
            done += len(rows)

    def keep_ledger(self, complete: bool) -> None:
        """Keep what was spent; ``complete``: nothing is on its way."""
        ledger = saved_ledger(self._dispatcher.redis, self._folder.run)
        self._folder.keep_ledger({**ledger, "complete": complete})

    def _next(self, waiting: "deque[Wanted]", under_way: Mapping[GroupKey, Wanted]) -> list[Wanted]:
        """The groups that fit into the window; what is kept of them lies where workers look."""
        begun: list[Wanted] = []
        slots = sum(len(one.job.generate.prompts) for one in under_way.values())
        while waiting and (not (begun or under_way) or slots < self._window):
            one = waiting.popleft()
            slots += len(one.job.generate.prompts)
            begun.append(one)
            known: list[Completion | Reward] = [*one.given]
            for prompt in one.job.generate.prompts:
                known += filter(None, self._folder.answer(one.job.key.group, prompt.slot))
            for result in known:
                self._store.preload(one.job.key, result)
        return begun

    @property
    def _window(self) -> int:
        return SLOTS_PER_CALL * self._config.max_inflight


class Setting(NamedTuple):
    """Where and under what conditions a folder's answers are asked for."""

    folder: Folder
    config: RunConfig
    #: What ``asked.json`` says.
    asked: Mapping[str, Any]
    #: Reward functions that the workers must have, and the columns that the data has for them.
    terms: tuple[RewardTerm, ...]
    columns: tuple[str, ...]
    #: The most that may be under way at once, in USD.
    window_usd: float
    #: What was asked of the models before.
    questions: tuple[Came, ...] = ()


def window_usd(config: RunConfig, left: Remaining) -> float:
    """The most that may be under way at once; 0 where a price is unknown."""
    slots, ceiling = left.completions - left.kept, left.cost.ceiling or 0.0
    return ceiling * min(1.0, SLOTS_PER_CALL * config.max_inflight / max(1, slots))


@contextmanager
def asking(
    setting: Setting, url: str | None, interrupts: Interrupts, started: Callable[[Engine], None]
) -> Iterator[Asker]:
    """An engine with the folder's answers and money on it, left or stopped at the end.

    Nothing stays of a folder in which nothing was answered because the engine or the rewards were
    wrong. Raises UsageError, EnvironmentNotReady, Fenced if another process asks for the same.
    """
    folder, begun = setting.folder, False
    try:
        logs = folder.begin(setting.asked)
        lock = lock_state(folder.path)
        try:
            # While a person was asked, the same command may have run elsewhere.
            folder.refresh()
            with engine(setting.config, folder.run, url, folder.state, logs, interrupts) as machine:
                self_report = setting.config.asks_self_report() or not setting.config.model
                check_rewards(machine, setting.terms, setting.columns, None, self_report)
                _restore_money(setting, machine.dispatcher)
                book_questions(machine.dispatcher.redis, folder.run, setting.questions)
                machine.dispatcher.clear_stop()
                started(machine)
                asker, begun = Asker(folder, machine.dispatcher, setting.config), True
                try:
                    yield asker
                except (Interrupted, RunStopped):
                    asker.keep_ledger(complete=False)
                    raise
                asker.keep_ledger(complete=True)
        finally:
            os.close(lock)
    except (UsageError, EnvironmentNotReady):
        # Later, the engine's state may hold answers that are not on the disk yet.
        if not begun:
            folder.discard_if_empty()
        raise
    folder.forget_engine()


def _restore_money(setting: Setting, dispatcher: Dispatcher) -> None:
    """Have the cap hold over all attempts, on a server that knows nothing of the earlier ones."""
    kept = dict(setting.folder.ledger())
    if kept:
        # What was under way when it was last written may have been paid since.
        doubtful_usd = 0.0 if kept.pop("complete", False) else setting.window_usd
        restore_ledger(dispatcher.redis, setting.folder.run, kept, doubtful_usd)
