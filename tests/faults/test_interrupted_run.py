"""A run that is stopped, kindly or not, goes on where it was and learns the same policy."""

import shlex
import shutil
import signal
from pathlib import Path

import pytest

from orchestrator.embedded import connect
from shared.keys import ALL_LEASES
from tests.processes import alive, descendants, environment, needs_proc, running, wait_until
from tests.running import (
    SMALL,
    Ended,
    held_after,
    let_go,
    metrics,
    only_run,
    orchestrator,
    started,
)


@needs_proc
@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)],
    ids=["SIGINT", "SIGKILL"],
)
def test_a_stopped_run_goes_on_where_it_was_and_learns_the_same(
    workplace: Path, small_run: Ended, number: signal.Signals, code: int
) -> None:
    # Given a run that is stopped after its first step.
    with started("run", *SMALL, held_after(1, workplace), cwd=workplace) as command:
        run = command.await_hold(workplace)
        children = descendants(command.pid)
        command.process.send_signal(number)
        let_go(workplace)
        stopped = command.end()
    wait_until(lambda: not any(map(alive, children)), "server and workers gone")
    done = len(metrics(run))
    assert done == 1
    assert not (run / "policy.json").exists()

    # Then it says how to go on, if it can still say anything.
    assert stopped.code == code, stopped.err
    assert "Traceback" not in stopped.err
    if number is not signal.SIGKILL:
        assert f"stopped; saved step {done} of 4 -> runs/{run.name}" in stopped.err
        assert f"resume  orchestrator run --resume {run.name}" in stopped.err

    # When it goes on, then what it learns is the same to the last bit.
    resumed = orchestrator("run", "--resume", run.name, cwd=workplace)
    assert resumed.code == 0, resumed.err
    # Only a kill can come between a step's row and its commit: then that step is done again.
    possible = (done, done + 1) if number is signal.SIGKILL else (done + 1,)
    assert any(f"resuming {run.name} at step {step}/4" in resumed.err for step in possible)
    assert Ended(resumed, workplace).policy == small_run.policy
    assert [row["step"] for row in metrics(run)] == [1, 2, 3, 4]


@needs_proc
def test_a_second_ctrl_c_does_not_wait_for_the_calls_in_flight(workplace: Path) -> None:
    with started("run", *SMALL, "--set=template_latency_s=25", cwd=workplace) as command:
        command.await_words("  plan ")
        children = descendants(command.pid)
        (worker,) = running(children, "-m worker")
        with connect(environment(worker)["REDIS_URL"]) as redis:
            wait_until(lambda: any(redis.scan_iter(ALL_LEASES)), "calls in flight")
        command.process.send_signal(signal.SIGINT)
        command.await_words("stopping after the calls in flight")

        command.process.send_signal(signal.SIGINT)

        assert command.end().code == 130
    wait_until(lambda: not any(map(alive, children)), "server and workers gone")


def test_a_run_whose_redis_state_is_lost_goes_on_from_its_checkpoint(
    workplace: Path, small_run: Ended
) -> None:
    shutil.copytree(small_run.folder / "runs", workplace / "runs", symlinks=True)
    (only_run(workplace) / "policy.json").unlink()

    resumed = orchestrator("run", "--resume", "latest", cwd=workplace)

    assert resumed.code == 0, resumed.err
    assert "at step 5/4" in resumed.err
    assert Ended(resumed, workplace).policy == small_run.policy


def test_after_a_sigterm_the_resume_line_works_wherever_the_runs_are(workplace: Path) -> None:
    # Given a run in a folder of the user's choice, stopped.
    place = "--set=runs_dir=my experiments"
    with started("run", *SMALL, place, held_after(1, workplace), cwd=workplace) as command:
        wait_until((workplace / "held").exists, "the run is held")
        command.process.send_signal(signal.SIGTERM)
        let_go(workplace)
        stopped = command.end()
    assert stopped.code == 143
    line = next(line for line in stopped.err.splitlines() if line.startswith("resume  "))

    program, *arguments = shlex.split(line.removeprefix("resume  "))
    resumed = orchestrator(*arguments, cwd=workplace)

    assert program == "orchestrator"
    assert resumed.code == 0, resumed.err


def test_a_second_orchestrator_on_the_same_run_is_refused_and_the_first_goes_on(
    workplace: Path,
) -> None:
    with started("run", *SMALL, held_after(1, workplace), cwd=workplace) as first:
        run = first.await_hold(workplace)

        second = orchestrator("run", "--resume", run.name, cwd=workplace, name="second")

        assert second.code == 1
        (line,) = second.err.splitlines()
        assert line.startswith(f"error: {run.name} is owned by process {first.pid} since ")
        let_go(workplace)
        assert first.end().code == 0
    assert [row["step"] for row in metrics(run)] == [1, 2, 3, 4]
