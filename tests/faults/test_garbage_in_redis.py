"""Garbage in a run's keys: the resume falls back on the checkpoint, or says which key and why."""

import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest
from redis import Redis

from orchestrator.embedded import connect
from orchestrator.standin import Running, running
from shared.keys import LONGEST_LEASE_S, WORKERS, RunKeys, account_of
from tests.openrouter_runs import arguments, command, pointed_at
from tests.processes import wait_until
from tests.running import (
    SMALL,
    Ended,
    json_lines,
    metrics,
    only_run,
    orchestrator,
    run_directories,
    started,
)
from tests.standin_calls import MODEL
from tests.working import keys_of, worker_process
from worker.governor.keys import AccountKeys


class Stopped(NamedTuple):
    """A run that was stopped on a given server, and what the server knew of it."""

    run: Path
    url: str
    redis: Redis
    values: dict[str, bytes]

    @property
    def keys(self) -> RunKeys:
        return RunKeys(self.run.name)


def slots_of_step_3(redis: Redis, run: str) -> list[str]:
    """The keys with results of the step that was broken off."""
    return [key for key in keys_of(redis, run) if ":slots:3:" in key]


def scored_in_step_3(redis: Redis, run: str) -> bool:
    keys = slots_of_step_3(redis, run)
    return any(str(field).startswith("score:") for key in keys for field in redis.hkeys(key))


@pytest.fixture(scope="module")
def stopped(
    server: str, small_run: Ended, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stopped]:
    """Stopped in the middle of step 3, which cannot end: one of its groups is in other hands."""
    folder, url = tmp_path_factory.mktemp("stopped"), f"{server}/3"
    rows = json_lines((small_run.run / "rollouts.jsonl").read_text("utf-8"))
    groups = [row["group"] for row in rows if (row["purpose"], row["step"]) == ("train", 3)]
    with connect(url) as redis, ExitStack() as stack:
        # Nobody scores, so that the run gets nowhere before that group is taken.
        stack.enter_context(worker_process(url, folder, "generates", "--queues=generate"))
        options = (*SMALL, "--no-live", f"--redis={url}")
        with started("run", *options, cwd=folder) as command:
            command.await_words("  plan ")
            run = only_run(folder)
            lease = RunKeys(run.name).lease(3, groups[0], "score")
            assert redis.set(lease, "a worker that hangs", nx=True, ex=LONGEST_LEASE_S)
            stack.enter_context(worker_process(url, folder, "scores", "--queues=score"))
            wait_until(lambda: scored_in_step_3(redis, run.name), "in the middle of step 3")
            command.process.send_signal(signal.SIGINT)
            command.await_words("stopping after the calls in flight")
            redis.delete(lease)
            assert command.end().code == 130
        with Redis.from_url(url) as raw:
            values = {key: raw.dump(key) for key in sorted(keys_of(redis, run.name))}
        yield Stopped(run, url, redis, values)


def put_back(stopped: Stopped, folder: Path) -> None:
    """The server and a copy of the run directory as they were when the run had stopped."""
    if left := keys_of(stopped.redis, stopped.run.name):
        stopped.redis.delete(*left)
    for key, value in stopped.values.items():
        stopped.redis.restore(key, 0, value, replace=True)
    stopped.redis.delete(stopped.keys.fence)
    shutil.copytree(stopped.run, folder / "runs" / stopped.run.name)


def anything_but_a_hash(redis: Redis, key: str) -> None:
    redis.delete(key)
    redis.set(key, "garbage")


FALLS_BACK: dict[str, Callable[[Redis, RunKeys], object]] = {
    "head is no number": lambda r, k: r.hset(k.head, "version", "garbage"),
    "head is of another type": lambda r, k: anything_but_a_hash(r, k.head),
    "weights are no JSON": lambda r, k: [r.hset(k.weights, v, "{") for v in r.hkeys(k.weights)],
    "weights are other JSON": lambda r, k: [
        r.hset(k.weights, v, '{"version": 1, "domains": {"x": 1}}') for v in r.hkeys(k.weights)
    ],
    "weights are of another type": lambda r, k: anything_but_a_hash(r, k.weights),
    "slots hold garbage": lambda r, k: [
        r.hset(key, field, "garbage")
        for key in slots_of_step_3(r, k.run)
        for field in ("generate:0", "score:0", "generate:x")
    ],
    "a worker of another world": lambda r, _: r.zadd(WORKERS, {"garbage": r.time()[0]}),
    "news of nothing": lambda r, k: r.xadd(k.events, {"garbage": "1"}),
    "the stop is garbage": lambda r, k: r.set(k.stop, "garbage"),
}


@pytest.mark.parametrize("spoil", FALLS_BACK.values(), ids=FALLS_BACK.keys())
def test_a_resume_falls_back_on_what_can_be_read(
    stopped: Stopped,
    workplace: Path,
    small_run: Ended,
    spoil: Callable[[Redis, RunKeys], object],
) -> None:
    put_back(stopped, workplace)
    spoil(stopped.redis, stopped.keys)

    resumed = orchestrator(
        "run", "--resume", stopped.run.name, f"--redis={stopped.url}", cwd=workplace
    )

    assert resumed.code == 0, resumed.err
    (run,) = run_directories(workplace)
    assert (run / "policy.json").read_bytes() == small_run.policy
    assert [row["step"] for row in metrics(run)] == [1, 2, 3, 4]


NAMED: dict[str, tuple[Callable[[Redis, RunKeys], object], str]] = {
    "money is no number": (lambda r, k: r.hset(k.money, "spent:eval", "x"), "is no ledger"),
    "a fence without end": (lambda r, k: r.set(k.fence, "garbage"), "is owned by somebody"),
    "events are of another type": (
        lambda r, k: anything_but_a_hash(r, k.events),
        "Redis refuses what a run needs, and waiting does not help: WRONGTYPE",
    ),
}


@pytest.mark.parametrize(("spoil", "words"), NAMED.values(), ids=NAMED.keys())
def test_what_nothing_can_stand_in_for_is_named(
    stopped: Stopped,
    workplace: Path,
    spoil: Callable[[Redis, RunKeys], object],
    words: str,
) -> None:
    put_back(stopped, workplace)
    spoil(stopped.redis, stopped.keys)

    resumed = orchestrator(
        "run", "--resume", stopped.run.name, f"--redis={stopped.url}", cwd=workplace
    )

    assert resumed.code in {1, 3}
    assert "Traceback" not in resumed.err
    assert words in resumed.err
    assert len(metrics(workplace / "runs" / stopped.run.name)) == 2, "what was done is kept"


GOVERNED: dict[str, Callable[[Redis, AccountKeys], object]] = {
    "permits are of another type": lambda r, k: r.set(k.permits, "garbage"),
    "the line is of another type": lambda r, k: r.set(k.line, "garbage"),
    "the rate is no number": lambda r, k: r.set(k.requests, "garbage"),
    "what is learnt is of another type": lambda r, k: r.set(k.adaptive(MODEL), "garbage"),
}


@pytest.fixture(scope="module")
def standin() -> Iterator[Running]:
    with running() as found:
        yield found


@pytest.fixture(scope="module")
def governed(
    server: str, standin: Running, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The address of a database with a worker that calls the stand-in."""
    folder, url = tmp_path_factory.mktemp("governed"), f"{server}/4"
    with worker_process(url, folder, "paid", environment=pointed_at(standin)):
        yield url


@pytest.mark.parametrize("spoil", GOVERNED.values(), ids=GOVERNED.keys())
def test_a_refusal_that_does_not_pass_ends_the_run_with_a_sentence(
    governed: str,
    standin: Running,
    workplace: Path,
    spoil: Callable[[Redis, AccountKeys], object],
) -> None:
    keys = AccountKeys(account_of(standin.base_url))
    with connect(governed) as redis:
        spoil(redis, keys)
        try:
            found = command(
                standin, workplace, *arguments(workplace, "--set=max_rpm=6000", judge=False),
                f"--redis={governed}", "--steps=1",
            )  # fmt: skip
        finally:
            redis.delete(keys.permits, keys.line, keys.requests, keys.adaptive(MODEL))

    assert found.code == 3, found.err
    assert "Redis refuses what a run needs, and waiting does not help" in found.err
    assert "Traceback" not in found.err
