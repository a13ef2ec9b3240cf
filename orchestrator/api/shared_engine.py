"""The one engine behind the API: started at first use, shared by all models, stopped at exit.

With ``REDIS_URL`` set it is that server and the workers that listen there; else an embedded one in
a temporary folder.
"""

import atexit
import itertools
import os
import secrets
import shutil
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from redis.exceptions import RedisError

from orchestrator import engine
from orchestrator.config import RunConfig
from orchestrator.ledger import GroupJob, SlotResult
from shared.errors import EnvironmentNotReady
from shared.keys import JOB_TTL_S, RunKeys
from shared.messages import Completion, RewardTerm
from shared.settings import redis_url


class _Running:
    """An engine in use, and how to end it."""

    def __init__(self) -> None:
        self.run = f"api-{secrets.token_hex(4)}"
        self.steps = itertools.count(1)
        #: Names of reward functions and data columns that the workers have found fitting.
        self.fitting: set[tuple[tuple[str, ...], tuple[str, ...]]] = set()
        url = redis_url()
        self._folder = Path(tempfile.mkdtemp(prefix="concept-grpo-"))
        self._stack = ExitStack()
        state, logs = self._folder / "state", self._folder / "logs"
        try:
            self.machine = self._stack.enter_context(
                engine.engine(RunConfig(), self.run, url, state, logs)
            )
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise

    def stop(self) -> None:
        self._stack.close()
        shutil.rmtree(self._folder, ignore_errors=True)


class _SharedEngine:
    """One engine, one caller at a time."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._running: _Running | None = None

    def collect(
        self, jobs: Sequence[GroupJob], known: Mapping[str, Completion]
    ) -> dict[str, dict[int, SlotResult]]:
        with self._lock:
            running = self._started()
            dispatcher, step = running.machine.dispatcher, next(running.steps)
            try:
                for group, completion in known.items():
                    dispatcher.preload(step, group, [completion])
                stamped = [_stamped(job, running.run, step) for job in jobs]
                results = dispatcher.collect(stamped, RunConfig().step_deadline_s)
                dispatcher.close([job.key for job in stamped])
                running.machine.dispatcher.redis.expire(RunKeys(running.run).events, JOB_TTL_S)
            except (EnvironmentNotReady, RedisError) as error:
                # The next call may find a server again, or start a new one.
                self.stop()
                raise EnvironmentNotReady(str(error)) from error
            return results

    def check_rewards(self, terms: tuple[RewardTerm, ...], columns: tuple[str, ...]) -> None:
        fit = (tuple(term.name for term in terms), columns)
        with self._lock:
            running = self._started()
            if fit not in running.fitting:
                engine.check_rewards(running.machine, terms, columns)
                running.fitting.add(fit)

    def stop(self) -> None:
        with self._lock:
            running, self._running = self._running, None
            if running is not None:
                running.stop()

    def _started(self) -> _Running:
        if self._running is None:
            self._running = _Running()
        return self._running


_shared = _SharedEngine()
#: Engines of parent processes: kept from collection, which would end them.
_inherited: list[_SharedEngine] = []


def collect(
    jobs: Sequence[GroupJob], known: Mapping[str, Completion] | None = None
) -> dict[str, dict[int, SlotResult]]:
    """Group id -> slot -> how it ended. The jobs get a run and a step of the shared engine.

    ``known``: by group id, completions that exist already and only need a score. Raises
    EnvironmentNotReady if the engine does not start, or breaks.
    """
    return _shared.collect(jobs, known or {})


def check_rewards(terms: tuple[RewardTerm, ...], columns: tuple[str, ...]) -> None:
    """Have the workers load custom reward functions. Raises UsageError with what is wrong."""
    if any(":" in term.name for term in terms):
        _shared.check_rewards(terms, columns)


def shutdown() -> None:
    """Stop the engine, if it runs; the next call that needs one starts another."""
    _shared.stop()


def _stamped(job: GroupJob, run: str, step: int) -> GroupJob:
    stamp = {"run": run, "step": step}
    score = job.score and job.score.model_copy(update=stamp)
    return GroupJob(job.generate.model_copy(update=stamp), score, job.label)


def _start_anew_after_fork() -> None:
    global _shared
    _inherited.append(_shared)
    _shared = _SharedEngine()


atexit.register(shutdown)
os.register_at_fork(after_in_child=_start_anew_after_fork)
