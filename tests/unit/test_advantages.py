"""Rewards to advantages: what counts, what divides, and what is never counted."""

import numpy as np
import pytest

from orchestrator import advantages, policy
from orchestrator.algorithm import AdvantageKnobs
from orchestrator.rollouts import Action, Example, Group, Rollout
from orchestrator.space import Space
from shared.messages import Failure, FailureKind, Reward

SPACE = Space(3, 1, 0, ((),) * 3, (None,) * 3, 1, 0)


def rollout(slot: int, value: float | None) -> Rollout:
    action = Action((slot % 3,), 0, ())
    if value is None:
        failure = Failure(slot=slot, kind=FailureKind.DEADLINE, message="too late")
        return Rollout(slot, action, -1.0, failure=failure)
    return Rollout(slot, action, -1.0, reward=Reward(slot=slot, value=value, parts={}, feedback=""))


def group(*values: float | None, name: str = "e1") -> Group:
    acted = policy.initial_params(SPACE)
    rollouts = tuple(rollout(slot, value) for slot, value in enumerate(values))
    return Group(name, 0, Example(name, "text"), "physics", 0, acted, rollouts)


def assigned(*groups: Group, **knobs: object) -> list[list[float | None]]:
    done = advantages.assign(groups, AdvantageKnobs.model_validate(knobs))
    return [[one.advantage for one in each.rollouts] for each in done]


def test_advantage_is_the_distance_from_the_mean_in_spreads() -> None:
    (found,) = assigned(group(0.0, 0.5, 1.0))
    spread = np.std([0.0, 0.5, 1.0]) + 1e-4
    assert found == pytest.approx([-0.5 / spread, 0, 0.5 / spread])


def test_missing_rewards_enter_neither_mean_nor_spread() -> None:
    (with_failures,) = assigned(group(0.2, None, 0.8, None))
    (without,) = assigned(group(0.2, 0.8))
    assert with_failures == [without[0], None, without[1], None]


@pytest.mark.parametrize("values", [(), (None, None), (0.5, None), (0.1, 0.1, 0.1, None)])
def test_groups_without_a_signal_get_no_advantage(values: tuple[float | None, ...]) -> None:
    assert assigned(group(*values)) == [[None] * len(values)]


def test_equal_rewards_have_no_spread_though_their_float_std_is_not_zero() -> None:
    values = [0.1] * 3
    assert np.std(values) > 0
    assert assigned(group(*values)) == [[None] * 3]


def test_rloo_compares_with_the_mean_of_the_others() -> None:
    (found,) = assigned(group(0.0, 0.3, 0.9), advantage="rloo", scale_rewards="none")
    assert found == pytest.approx([-0.6, 0.3 - 0.45, 0.9 - 0.15])


def test_batch_scale_is_the_pooled_spread_within_the_groups_that_have_one() -> None:
    found = assigned(group(0.0, 1.0), group(0.4, 0.6), group(0.5, 0.5), scale_rewards="batch")
    pooled = np.sqrt(np.mean(np.square([-0.5, 0.5, -0.1, 0.1]))) + 1e-4
    assert found[0] == pytest.approx([-0.5 / pooled, 0.5 / pooled])
    assert found[1] == pytest.approx([-0.1 / pooled, 0.1 / pooled])
    assert found[2] == [None, None]


def test_batch_scale_without_any_signal_is_quiet() -> None:
    assert assigned(group(0.5, 0.5), scale_rewards="batch") == [[None, None]]


def test_no_scale_leaves_the_centred_reward() -> None:
    assert assigned(group(0.0, 1.0), scale_rewards="none") == [[-0.5, 0.5]]


def test_winsorising_caps_outliers_around_the_median() -> None:
    rewards = np.array([0.5, 0.6, 0.7, 0.8, 0.0])
    capped = advantages.winsorized(rewards, 3.0)
    assert capped == pytest.approx([0.5, 0.6, 0.7, 0.8, 0.3])
    assert np.array_equal(advantages.winsorized(rewards, None), rewards)
    (found,) = assigned(group(*rewards.tolist()), winsorize_mad=3.0, scale_rewards="none")
    assert found == pytest.approx((capped - capped.mean()).tolist())


def test_winsorising_keeps_the_signal_of_a_group_of_which_half_is_equal() -> None:
    rewards = np.array([1.0, 1.0, 1.0, 0.0])
    assert np.array_equal(advantages.winsorized(rewards, 3.0), rewards)


def test_old_advantages_do_not_survive_a_new_assignment() -> None:
    knobs = AdvantageKnobs()
    (once,) = advantages.assign([group(0.0, 1.0)], knobs)
    again = advantages.assign([once], knobs)
    assert again == (once,)


def test_lost_and_flat_groups_are_counted() -> None:
    groups = [group(0.1, None), group(None, None), group(0.3, 0.3), group(0.1, 0.2)]
    assert advantages.count_signals(groups) == (2, 1)
    assert advantages.count_signals([]) == (0, 0)
