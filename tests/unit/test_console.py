"""The terminal shows names that an endpoint has invented, and lives."""

import numpy as np
import pytest

from orchestrator.rollouts import Action, Example, Group, Params, Rollout, StepReport
from orchestrator.trackers.console import Console
from orchestrator.trackers.fleet_changes import FleetChanges
from shared.messages import Completion

METRICS = dict.fromkeys(
    ("failed", "rollouts", "reward", "entropy", "kl", "clip_ratio", "frac_reward_zero_std",
     "step_s", "completion_s/p50", "completion_s/p95"), 0.0,
)  # fmt: skip


def answered_by(model: str) -> Group:
    completion = Completion(slot=0, text="Yes.", model=model, provider="p")
    rollout = Rollout(0, Action((0,), 0, ()), -1.0, completion)
    acted = Params(np.zeros(2), np.zeros(1), np.zeros(0))
    return Group("e1", 1, Example("e1", "Why?"), "d", 0, acted, (rollout,))


def test_a_new_model_is_warned_of_under_its_own_name(capsys: pytest.CaptureFixture[str]) -> None:
    with Console(2, 1, {}, live=False) as console:
        for step, model in enumerate(("m", "m[/]turbo"), 1):
            console.stepped(StepReport(step, METRICS), (answered_by(model),))

    assert "since step 2 m[/]turbo at p answers too" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"calls": 9, "cost/perhaps": 0.25}, "up to $0.2500 paid twice;"),
        ({"calls": 9, "cost/unpriced_calls": 9}, "what was paid twice is unknown: calls have no"),
        ({"calls": 9}, "nothing paid twice;"),
        ({"calls": 0}, "0 rollouts failed; step"),
    ],
)
def test_what_a_lost_worker_cost_twice_is_told_as_far_as_it_is_known(
    row: dict[str, float], told: str
) -> None:
    fleet = FleetChanges()
    fleet.seen(2, 0)
    fleet.ended(1, {"step_s": 1.0, "failed": 0})
    fleet.seen(1, 3)

    words = fleet.ended(2, {"step_s": 1.0, "failed": 0, **row})

    assert words.startswith("workers 2 -> 1; 3 groups submitted again, 0 rollouts failed")
    assert told in words
