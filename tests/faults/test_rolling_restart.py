"""Workers that come and go while a paid run goes on: nothing is lost, nothing is paid for twice."""

import signal
from contextlib import ExitStack
from pathlib import Path

from redis import Redis

from orchestrator.standin import Settings, running
from tests.openrouter_runs import (
    arguments,
    await_held,
    hold_step,
    let_answers_go,
    pointed_at,
    result,
    rollouts,
)
from tests.processes import PATIENCE_S, wait_until
from tests.running import metrics, only_run, started
from tests.working import Worker, worker_process

#: What a worker says when it is told to stop.
STOPS = "Warm shutdown"


def test_a_rolling_restart_of_the_fleet_loses_nothing_and_pays_nothing_twice(
    empty_url: str, empty_redis: Redis, workplace: Path
) -> None:
    # Given workers with a group each, so that every one of them has work in the middle of a step.
    with running(Settings(latency_ms=20, noise=0.1)) as standin, ExitStack() as stack:
        environment = pointed_at(standin)

        def worker(name: str) -> Worker:
            few = ("--groups", "1", "--lease-s", "60")
            made = worker_process(empty_url, workplace, name, *few, environment=environment)
            return stack.enter_context(made)

        crew = [worker(f"old-{number}") for number in range(3)]
        # More slots than the governor lets out, so that many wait.
        hold_step(standin, 2)
        options = ("--steps=3", "--set=max_inflight=12", f"--redis={empty_url}", "--yes")
        run = started(*arguments(workplace, *options), cwd=workplace, **environment)
        command = stack.enter_context(run)
        command.await_step(workplace, 1)
        await_held(standin)

        # When every worker is replaced, and is told so while answers are held.
        for number, old in enumerate(crew):
            worker(f"new-{number}")
            old.process.send_signal(signal.SIGTERM)
            wait_until(lambda log=old.log: STOPS in log.read_text("utf-8"), "the worker stops")
        assert len(metrics(only_run(workplace))) == 1
        let_answers_go(standin)
        for old in crew:
            assert old.process.wait(PATIENCE_S) == 0
        how = command.end()

        # Then the run never noticed, and every answer was paid for once.
        assert how.code == 0, how.err
        assert [row for row in rollouts(workplace) if row["reward"] is None] == []
        ledger = standin.control("ledger?generations=0")
        assert ledger["bodies_billed_more_than_once"] == 0
        spent = result(workplace)["cost"]
        assert sum(spent["perhaps"].values()) == 0
        assert round(sum(spent["spent"].values()) * 1e9) == ledger["total_nano_usd"]


def test_a_worker_that_is_told_to_stop_gives_back_what_it_has_not_asked_yet(
    empty_url: str, empty_redis: Redis, workplace: Path
) -> None:
    # Given a worker whose calls are held back: one may leave, the others wait for minutes.
    with running(Settings(latency_ms=300)) as standin, ExitStack() as stack:
        environment = pointed_at(standin)
        made = worker_process(empty_url, workplace, "only", environment=environment)
        only = stack.enter_context(made)
        options = ("--steps=1", "--set=max_rpm=6", f"--redis={empty_url}", "--yes", "--no-live")
        run = started(*arguments(workplace, *options, judge=False), cwd=workplace, **environment)
        stack.enter_context(run)
        wait_until(lambda: standin.control("received?last=0")["count"], "a call")

        only.process.send_signal(signal.SIGTERM)

        assert only.process.wait(PATIENCE_S) == 0
        assert "left to others" in only.log.read_text(encoding="utf-8")
        assert list(empty_redis.scan_iter("cgrpo:*:lease:*", count=1000)) == []
