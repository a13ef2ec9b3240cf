"""A world that changes is noticed and the past fades; a world that stays is not suspected."""

from collections.abc import Callable

import numpy as np
import pytest

from orchestrator import policy, update
from orchestrator.algorithm import Natural
from orchestrator.rollouts import (
    Action,
    DomainWeights,
    Example,
    FloatArray,
    Group,
    Rollout,
    Weights,
)
from orchestrator.space import Space
from orchestrator.update import drift
from orchestrator.update.belief import Belief, Kept, believe
from shared.messages import Reward

SPACE = Space(8, 3, 6, tuple((i % 6, (i + 2) % 6) for i in range(8)), (None,) * 8, k=2, f=1)
WORTH_N = np.array([0.9, -0.4, 0.2, 0.0, 0.7, -0.8, 0.1, -0.1])


def before(action: Action) -> float:
    return float(WORTH_N[list(action.concepts)].sum()) + 0.3 * action.template


def after(action: Action) -> float:
    return -before(action)


def grown(weights: Weights, step: int, world: Callable[[Action], float], seed: int = 0) -> Weights:
    params = weights.domains["physics"].params
    noise = np.random.default_rng([seed, step])
    groups = []
    for name in ("a", "b", "c", "d"):
        key = (seed, step, name)
        drawn = policy.draw(params, SPACE, policy.uniforms(key, 8, SPACE.uniforms_needed))
        offset = float(noise.normal())
        rollouts = []
        for slot, action in enumerate(drawn.actions):
            value = world(action) + offset + 0.4 * float(noise.normal())
            reward = Reward(slot=slot, value=value, parts={}, feedback="")
            rollouts.append(Rollout(slot, action, float(drawn.log_prob_G[slot]), reward=reward))
        groups.append(
            Group(name, step, Example(name, ""), "physics", step, params, tuple(rollouts))
        )
    return update.step(weights, groups, KNOBS, {"physics": SPACE}).weights


KNOBS = Natural()


def fresh() -> Weights:
    start = policy.initial_params(SPACE)
    return Weights(0, {"physics": DomainWeights(start, start)})


def drifts(weights: Weights) -> float:
    return float(weights.domains["physics"].state["drifts"])


def test_a_world_that_stays_is_not_suspected() -> None:
    found = 0.0
    for seed in range(6):
        weights = fresh()
        for step in range(30):
            weights = grown(weights, step, before, seed)
        found += drifts(weights)
    assert found == 0


def test_a_changed_world_is_noticed_and_learnt_anew() -> None:
    weights = fresh()
    for step in range(16):
        weights = grown(weights, step, before)
    assert before(policy.greedy(weights.domains["physics"].params, SPACE)) >= 2.0
    step = 16
    while drifts(weights) == 0:
        count = float(weights.domains["physics"].state["N"])
        weights = grown(weights, step, after)
        step += 1
        assert step < 26
    state = weights.domains["physics"].state
    assert float(state["N"]) == pytest.approx(drift.KEPT * count + 28)
    for later in range(step, step + 8):
        weights = grown(weights, later, after)
    best = after(Action((1, 5), 0, ()))
    deployed = policy.greedy(weights.domains["physics"].params, SPACE)
    assert after(deployed) >= 0.8 * best


def test_a_misfit_grows_by_what_a_batch_could_not_foretell() -> None:
    """By e' (I + Z K^-1 Z')^-1 e of the batch, at the same ridges."""
    draws = np.random.default_rng(9)
    before_RP, batch_RP = draws.normal(size=(30, 9)), draws.normal(size=(12, 9))
    old_R, new_R = draws.normal(size=30), draws.normal(size=12)
    both_RP, both_R = np.concatenate([before_RP, batch_RP]), np.concatenate([old_R, new_R])

    def belief(held_RP: FloatArray, reward_R: FloatArray) -> Belief:
        squares, start = float(reward_R @ reward_R), np.array([2.0, 3.0, 4.0])
        gram, moved = held_RP.T @ held_RP, held_RP.T @ reward_R
        return believe(gram, moved, squares, len(reward_R), (3, 3, 3), start, rounds=0)

    first, second = belief(before_RP, old_R), belief(both_RP, both_R)
    error_R = new_R - batch_RP @ first.mean_from(np.zeros(9))
    spread_RR = np.eye(12) + batch_RP @ first.root @ first.root.T @ batch_RP.T
    expected = error_R @ np.linalg.solve(spread_RR, error_R)
    assert second.misfit_at_start - first.misfit == pytest.approx(expected, abs=1e-10)


def test_errors_that_are_small_beside_the_rewards_are_no_surprise() -> None:
    """A world without noise whose parts explain all but a thousandth."""
    before = Kept(np.ones(3), np.array(1.0), noise=np.array(1e-4), freedom=np.array(100.0))
    small = drift.Watch(0.0, 0.0).after(0.5, degrees=28, before=before, variance=1.0)
    large = drift.Watch(0.0, 0.0).after(28.0, degrees=28, before=before, variance=1.0)
    assert small == drift.Watch(0.0, 0.0)
    assert large.changed


def test_paulsons_deviation_is_that_of_the_f_distribution() -> None:
    """F of (14, 40) degrees of freedom, drawn."""
    draws = np.random.default_rng(8)
    ratio_R = (draws.chisquare(14, 20_000) / 14) / (draws.chisquare(40, 20_000) / 40)
    deviations_R = np.array([drift.paulson(float(ratio), 14, 40) for ratio in ratio_R])
    assert deviations_R.mean() == pytest.approx(0, abs=0.03)
    assert deviations_R.std() == pytest.approx(1, abs=0.03)
    assert np.mean(deviations_R > 1.645) == pytest.approx(0.05, abs=0.01)
