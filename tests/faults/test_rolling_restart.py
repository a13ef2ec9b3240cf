"""Workers that come and go while a paid run goes on: nothing is lost, nothing is paid for twice."""

import signal
from contextlib import ExitStack
from pathlib import Path

from redis import Redis

from orchestrator.standin import Settings, running
from tests.openrouter_runs import arguments, pointed_at, result, rollouts
from tests.processes import PATIENCE_S, wait_until
from tests.running import started
from tests.working import Worker, worker_process


def test_a_rolling_restart_of_the_fleet_loses_nothing_and_pays_nothing_twice(
    empty_url: str, empty_redis: Redis, workplace: Path
) -> None:
    slow = Settings(latency_ms=500, sigma=0.3, noise=0.1)
    with running(slow) as standin, ExitStack() as stack:
        environment = pointed_at(standin)

        def worker(name: str) -> Worker:
            made = worker_process(empty_url, workplace, name, environment=environment)
            return stack.enter_context(made)

        crew = [worker(f"old-{number}") for number in range(3)]
        # Given a run with more slots than the governor lets out, so that many wait.
        options = ("--steps=5", "--set=max_inflight=12", f"--redis={empty_url}", "--yes")
        run = started(*arguments(workplace, *options), cwd=workplace, **environment)
        command = stack.enter_context(run)
        command.await_step(workplace, 1)

        # When every worker is replaced, one after the other.
        for number, old in enumerate(crew):
            worker(f"new-{number}")
            old.process.send_signal(signal.SIGTERM)
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
