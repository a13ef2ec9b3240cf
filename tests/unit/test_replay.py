"""Replays: the same settings give the same policy; other rewards the policy of a fresh run."""

import numpy as np
import pytest

from orchestrator import policy, replay
from orchestrator.algorithm import Clipped, Natural
from orchestrator.rollouts import Params
from shared.errors import UsageError
from shared.messages import RewardTerm
from tests.simulated import DOMAIN, NOTHING, SPACE, World, every_action, fresh, simulate

SPACES = {DOMAIN: SPACE}
ONE = Params(np.array([0.10, 0.06, 0.0, 0.0, -0.04, -0.08]), NOTHING.phi, NOTHING.eta)
OTHER = Params(np.array([-0.08, 0.0, 0.0, 0.06, 0.10, 0.0]), NOTHING.phi, NOTHING.eta)
PARTS = {"one": ONE, "other": OTHER}


def world(one: float, other: float) -> World:
    return World(parts=PARTS, weights={"one": one, "other": other})


def terms(one: float, other: float) -> tuple[RewardTerm, ...]:
    return (RewardTerm(name="one", weight=one), RewardTerm(name="other", weight=other))


@pytest.mark.parametrize("knobs", [Natural(), Clipped()], ids=["natural", "clipped"])
def test_the_same_settings_give_the_same_policy_to_the_last_bit(knobs: Natural | Clipped) -> None:
    run = simulate(world(0.7, 0.3), 5, knobs=knobs)

    again = replay.trained(run.batches, fresh(), knobs, SPACES)

    assert again.version == run.weights.version
    assert np.array_equal(again.domains[DOMAIN].params.flat(), run.params.flat())


def test_other_reward_weights_give_the_policy_of_a_fresh_run_within_noise() -> None:
    then, now = world(0.7, 0.3), world(0.3, 0.7)
    start, top = now.value_of(NOTHING), max(map(now.value, every_action()))
    replayed, anew = [], []
    for seed in range(16):
        batches = replay.rewarded(simulate(then, seed, steps=10).batches, terms(0.3, 0.7))
        again = replay.trained(batches, fresh(), Natural(), SPACES).domains[DOMAIN].params
        params = simulate(now, 1000 + seed, steps=10).params
        replayed.append(now.value(policy.greedy(again, SPACE)))
        anew.append(now.value(policy.greedy(params, SPACE)))

    gap = (np.mean(anew) - np.mean(replayed)) / (top - start)
    noise = np.hypot(np.std(anew), np.std(replayed)) / np.sqrt(16) / (top - start)
    assert np.mean(replayed) > start + 0.9 * (top - start)
    assert abs(gap) <= max(2 * noise, 0.01)


def test_rewards_are_the_weighted_mean_of_the_stored_parts() -> None:
    run = simulate(world(1.0, 1.0), 0, steps=1)

    ((_, (group, *_)), *_) = replay.rewarded(run.batches, terms(3.0, 1.0))

    for rollout in group.survivors():
        assert rollout.reward is not None
        parts = rollout.reward.parts
        expected = min(1.0, (3 * parts["one"] + parts["other"]) / 4)
        assert rollout.reward.value == pytest.approx(expected)


def test_a_part_that_was_not_recorded_or_no_weight_at_all_is_refused() -> None:
    run = simulate(world(1.0, 1.0), 0, steps=1)

    with pytest.raises(UsageError, match="'judge' was not recorded in step 1; recorded are one"):
        replay.rewarded(run.batches, (RewardTerm(name="judge", weight=1.0),))
    with pytest.raises(UsageError, match="all 0"):
        replay.rewarded(run.batches, terms(0.0, 0.0))
