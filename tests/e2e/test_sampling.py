"""Runs that choose their prompts and group sizes, as people type them."""

import json
import signal
from pathlib import Path

from tests.processes import PATIENCE_S
from tests.running import (
    Ended,
    held_after,
    json_lines,
    let_go,
    metrics,
    only_run,
    orchestrator,
    started,
)

CHOOSY = (
    "--steps=5",
    "--no-live",
    "--set=batch_size=3",
    "--set=early_batch_size=2",
    "--set=early_rollouts=6",
    "--set=group_size=3",
    "--set=max_group_size=6",
    "--set=prompt_sampling=difficulty",
    "--set=duplicate_actions=redraw",
    "--set=dynamic_sampling=1",
    "--set=eval_interval=0",
    "--set=eval_samples=1",
)


def test_a_run_that_remembers_its_prompts_is_the_same_after_a_kill(
    workplace: Path,
) -> None:
    folders = {name: workplace / name for name in ("whole", "broken")}
    for folder in folders.values():
        folder.mkdir()
    whole = Ended(orchestrator("run", *CHOOSY, cwd=folders["whole"]), folders["whole"])
    assert whole.how.code == 0, whole.how.err
    assert "(1 steps x 2 + 4 steps x 3) prompts x 3 slots = 42 rollouts" in whole.how.err

    hold = held_after(2, folders["broken"])
    with started("run", *CHOOSY, hold, cwd=folders["broken"]) as command:
        run = command.await_hold(folders["broken"])
        command.process.send_signal(signal.SIGKILL)
        command.process.wait(PATIENCE_S)
    let_go(folders["broken"])
    resumed = orchestrator("run", "--resume", run.name, cwd=folders["broken"], name="resumed")

    assert resumed.code == 0, resumed.err
    assert Ended(resumed, folders["broken"]).policy == whole.policy
    steps = metrics(run)
    assert steps[0]["rollouts"] >= 2 * 6, "nothing is known: every group has the most slots"
    # Steps, not seconds, decide what a run does.
    same = [row["rollouts"] for row in metrics(whole.run)]
    assert [row["rollouts"] for row in steps] == same


def test_groups_without_signal_are_followed_by_as_many_others_and_no_more(workplace: Path) -> None:
    constant = '--set=reward_funcs=["tests.custom_rewards:third"]'
    options = ("--steps=2", "--no-live", "--set=batch_size=3", "--set=group_size=2", constant)
    more = ("--set=dynamic_sampling=2", "--set=eval_interval=0", "--set=eval_samples=1")
    root = Path(__file__).parents[2]

    how = orchestrator("run", *options, *more, cwd=workplace, PYTHONPATH=str(root))

    assert how.code == 0, how.err
    rows = json_lines((only_run(workplace) / "rollouts.jsonl").read_text("utf-8"))
    for step in (1, 2):
        groups = [r["group"] for r in rows if (r["purpose"], r["step"]) == ("train", step)]
        # Three prompts, and twice three others in their place.
        assert len(groups) == 9 * 2
        assert len(set(groups)) == 9
    assert all(row["frac_reward_zero_std"] == 1 for row in metrics(only_run(workplace)))
    assert json.loads((only_run(workplace) / "run.json").read_text())["steps"] == 2


def test_a_policy_that_no_longer_moves_ends_the_run(workplace: Path) -> None:
    # Given a bound that every step keeps.
    options = ("--steps=12", "--no-live", "--set=convergence_kl=1000", "--set=batch_size=2")

    how = orchestrator("run", *options, "--set=eval_interval=0", cwd=workplace)

    assert how.code == 0, how.err
    assert len(metrics(only_run(workplace))) == 5
    assert "the policy moved by a KL of less than 1000 in each of 5 steps" in how.err + how.out
