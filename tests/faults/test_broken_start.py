"""A run that breaks while the initial policy is evaluated: what was paid for by then is kept."""

import re
from pathlib import Path

from redis import Redis

from orchestrator.kept_results import kept_results
from orchestrator.standin import Settings, running
from tests.openrouter_runs import ASKED_HELD_OUT, arguments, pointed_at
from tests.processes import wait_until
from tests.running import only_run, orchestrator, run_directories, started
from tests.working import worker_process


def test_answers_of_an_initial_evaluation_that_breaks_are_not_paid_for_again(
    empty_url: str, empty_redis: Redis, workplace: Path
) -> None:
    redis = f"--redis={empty_url}"
    small = ("--steps=1", "--set=group_size=2", "--set=worker_grace_s=2", "--no-live", redis)

    def kept() -> bool:
        runs = run_directories(workplace)
        return bool(runs) and kept_results(empty_redis, runs[0].name, 0).completions == 1

    with running(Settings(latency_ms=10, slow_s=60)) as standin:
        asked, there = arguments(workplace, *small, judge=False), pointed_at(standin)
        # Of the two held-out answers the second comes when the worker is gone.
        standin.control("faults", {"script": [None, "slow"]})
        with (
            worker_process(empty_url, workplace, "first", environment=there) as worker,
            started(*asked, cwd=workplace, **there) as command,
        ):
            wait_until(kept, "the first answer is kept")
            worker.process.kill()
            stopped = command.end()

        assert stopped.code == 3, stopped.err
        assert "no worker has been alive for 2 s" in stopped.err
        assert run_directories(workplace), "the run is gone, and what it paid for"
        assert f"resume  orchestrator run --resume {only_run(workplace).name}" in stopped.err

        with worker_process(empty_url, workplace, "second", environment=there):
            ended = orchestrator(
                "run", "--resume=latest", redis, cwd=workplace, name="resumed", **there
            )

        assert ended.code == 0, ended.err
        # The second worker may have found the task of the first one before the resume.
        assert re.search("reusing [12] completions", ended.err), ended.err
        # Once each; the answer that nobody was there to hear may be billed too.
        unheard = standin.control("ledger")["billed_generations"] - ASKED_HELD_OUT - 4 * 2
        assert 0 <= unheard <= 1
