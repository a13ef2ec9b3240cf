"""Runs without a barrier: nothing waits for the slowest call, and nothing is lost between steps."""

import signal
from collections import Counter
from pathlib import Path
from typing import Any

from orchestrator.standin import Settings, running
from tests.openrouter_runs import (
    arguments,
    await_held,
    hold_step,
    let_answers_go,
    pointed_at,
    rollouts,
)
from tests.processes import PATIENCE_S
from tests.running import (
    held_after,
    json_lines,
    let_go,
    metrics,
    only_run,
    orchestrator,
    started,
)

STEPS, BATCH, GROUP = 8, 4, 4
AHEAD = (
    f"--steps={STEPS}",
    f"--set=batch_size={BATCH}",
    f"--set=group_size={GROUP}",
    "--set=max_staleness=2",
    "--set=eval_interval=3",
    "--set=eval_samples=1",
    "--no-live",
)


def trained(run: Path) -> list[dict[str, Any]]:
    rows = json_lines((run / "rollouts.jsonl").read_text("utf-8"))
    return [row for row in rows if row["purpose"] == "train"]


def assert_every_rollout_once(run: Path) -> None:
    rows = trained(run)
    ids = Counter((row["step"], row["group"], row["slot"]) for row in rows)
    assert set(ids.values()) == {1}
    assert len(ids) == STEPS * BATCH * GROUP
    # Every update took a batch's worth of groups, whenever they were drawn.
    taken = Counter(row["update"] for row in rows)
    assert taken == Counter(dict.fromkeys(range(1, STEPS + 1), BATCH * GROUP))
    assert [row["step"] for row in metrics(run)] == list(range(1, STEPS + 1))


def test_a_run_with_batches_in_flight_does_every_rollout_once(workplace: Path) -> None:
    how = orchestrator("run", *AHEAD, "--set=template_latency_s=0.05", cwd=workplace)

    assert how.code == 0, how.err
    run = only_run(workplace)
    assert_every_rollout_once(run)
    assert max(row["staleness"] for row in metrics(run)) >= 1
    assert max(row["update"] - 1 - row["policy_version"] for row in trained(run)) <= STEPS


def test_a_killed_run_takes_up_what_was_in_flight(workplace: Path) -> None:
    options = ("--set=template_latency_s=0.1", held_after(3, workplace))
    with started("run", *AHEAD, *options, cwd=workplace) as command:
        run = command.await_hold(workplace)
        command.process.send_signal(signal.SIGKILL)
        command.process.wait(PATIENCE_S)
    let_go(workplace)

    resumed = orchestrator("run", "--resume", run.name, cwd=workplace, name="resumed")

    assert resumed.code == 0, resumed.err
    assert_every_rollout_once(run)


def test_what_was_paid_for_in_flight_is_not_paid_for_again(workplace: Path) -> None:
    with running(Settings(latency_ms=50, sigma=0.5, noise=0.1)) as standin:
        hold_step(standin, 4)
        options = ("--set=max_staleness=2", "--steps=6", "--no-live", "--yes")
        words = arguments(workplace, *options, judge=False)
        with started(*words, cwd=workplace, **pointed_at(standin)) as command:
            run = command.await_step(workplace, 2)
            await_held(standin)
            command.process.send_signal(signal.SIGINT)
            command.await_words("stopping after the calls in flight")
            let_answers_go(standin)
            assert command.end().code == 130
        resumed = orchestrator(
            "run", "--resume", run.name, cwd=workplace, name="resumed", **pointed_at(standin)
        )
        ledger = standin.control("ledger?generations=0")

    assert resumed.code == 0, resumed.err
    assert ledger["bodies_billed_more_than_once"] == 0
    rows = [row for row in rollouts(workplace) if row["purpose"] == "train"]
    assert len({(row["step"], row["group"], row["slot"]) for row in rows}) == len(rows) == 6 * 32
