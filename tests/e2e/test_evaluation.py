"""Runs that end early, measure more than they train on, and say when something is odd."""

import json
from pathlib import Path
from typing import Any

from tests.running import (
    SMALL,
    Ended,
    Finished,
    json_lines,
    metrics,
    only_run,
    orchestrator,
    started,
)

LONG = ("--steps=400", *SMALL[1:])


def result(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((only_run(folder) / "run.json").read_text("utf-8"))
    return found


def finished_early(folder: Path, ended: Finished, reason: str) -> dict[str, Any]:
    """The result of a run that ended early for ``reason``, with everything that an end has."""
    assert ended.code == 0, ended.err
    found = result(folder)
    assert found["stopped"]["reason"] == reason
    assert found["steps"] == len(metrics(only_run(folder))) < 400
    assert found["heldout"]["prompts"] == 24
    assert f"stopped  after step {found['steps']}" in ended.out
    policy = json.loads((only_run(folder) / "policy.json").read_text("utf-8"))
    assert policy["policy_version"] == found["steps"]
    return found


def test_a_stop_file_ends_a_run_with_its_result_and_a_resume_goes_on(workplace: Path) -> None:
    with started("run", *LONG, "--set=template_latency_s=0.02", cwd=workplace) as command:
        run = command.await_step(workplace, 2)
        (run / "stop").touch()
        ended = command.end()

    steps = finished_early(workplace, ended, "stop_file")["steps"]
    assert not (run / "stop").exists()
    with started("run", "--resume=latest", cwd=workplace, name="resumed") as command:
        command.await_step(workplace, steps + 1)
        (run / "stop").touch()
        assert command.end().code == 0
    assert result(workplace)["steps"] > steps


def test_time_ends_a_run_with_its_result(workplace: Path) -> None:
    ended = orchestrator("run", *LONG, "--set=max_minutes=0.02", cwd=workplace)

    found = finished_early(workplace, ended, "time")
    assert "max_minutes = 0.02 have passed" in found["stopped"]["sentence"]


def test_a_plateau_of_the_held_out_reward_ends_a_run_and_fresh_draws_judge_it(
    workplace: Path,
) -> None:
    more = ("--set=eval_interval=2", "--set=early_stopping_patience=2")
    ended = orchestrator("run", *LONG, *more, cwd=workplace)

    found = finished_early(workplace, ended, "plateau")
    rows = json_lines((only_run(workplace) / "metrics.jsonl").read_text("utf-8"))
    kinds = [(row["kind"], row["step"]) for row in rows if "eval/reward" in row]
    between = [("interval", step) for step in range(2, found["steps"] + 1, 2)]
    assert kinds == [("initial", 0), *between, ("final", found["steps"])]
    rewards = [row["eval/reward"] for row in rows if "eval/reward" in row][:-1]
    assert max(rewards[-2:]) <= max(rewards[:-2])
    rollouts = json_lines((only_run(workplace) / "rollouts.jsonl").read_text("utf-8"))
    judged = {row["kind"]: row["group"] for row in rollouts if row["purpose"] == "eval"}
    assert judged["final"].startswith("final-")
    assert judged["interval"].startswith("eval-")


def test_eval_metrics_are_measured_on_held_out_prompts_and_never_trained_on(
    workplace: Path, small_run: Ended
) -> None:
    more = ("--set", 'eval_metrics=["worker.rewards.table:BUILTIN"]')
    refused = orchestrator("run", *SMALL, *more, cwd=workplace, name="refused")
    assert refused.code == 2
    assert "is not callable" in refused.err

    (workplace / "mine.py").write_text(
        "def brief(completion: str) -> float:\n    return 1 / (1 + len(completion.split()))\n"
    )
    ended = orchestrator("run", *SMALL, "--set", 'eval_metrics=["mine:brief"]', cwd=workplace)

    assert ended.code == 0, ended.err
    found = result(workplace)["eval_metrics"]["mine:brief"]
    assert found["verdict"] == "WORSE"
    assert "brief (eval)" in ended.out
    assert "not in the reward" in ended.out
    policy = (only_run(workplace) / "policy.json").read_bytes()
    assert policy == small_run.policy
    rollouts = json_lines((only_run(workplace) / "rollouts.jsonl").read_text("utf-8"))
    assert {"mine:brief" in row["parts"] for row in rollouts if row["purpose"] == "train"} == {
        False
    }
    assert {"mine:brief" in row["parts"] for row in rollouts if row["purpose"] == "eval"} == {True}


def test_an_eval_metric_that_is_in_the_reward_is_refused(workplace: Path) -> None:
    ended = orchestrator("run", *SMALL, "--set", 'eval_metrics=["length"]', cwd=workplace)

    assert ended.code == 2
    assert "eval_metrics names 'length', which is in the reward" in ended.err
    assert not (workplace / "runs").exists()
