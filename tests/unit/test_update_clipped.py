"""The textbook step: its gradient, its clip, its rate, and what it learns."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from orchestrator import advantages, policy, update
from orchestrator.algorithm import Clipped, Natural
from orchestrator.rollouts import (
    Action,
    DomainWeights,
    Example,
    FloatArray,
    Group,
    Params,
    Rollout,
    Weights,
)
from orchestrator.space import Space
from orchestrator.update import clipped
from shared.messages import Reward

SPACE = Space(
    8, 3, 6, tuple((i % 6, (i + 1) % 6, (i + 3) % 6) for i in range(8)), (None,) * 8, k=2, f=2
)
START = policy.initial_params(SPACE)
WORTH_N = np.array([0.9, -0.4, 0.2, 0.0, 0.7, -0.8, 0.1, -0.1])


def worth(action: Action) -> float:
    return float(WORTH_N[list(action.concepts)].sum())


def random_params(seed: int) -> Params:
    return START.unflat(np.random.default_rng(seed).uniform(-1, 1, SPACE.d))


def act(
    params: Params, step: int, name: str, reward: Callable[[int, Action], float | None]
) -> Group:
    uniforms = policy.uniforms((5, step, name), 8, SPACE.uniforms_needed)
    drawn = policy.draw(params, SPACE, uniforms)
    rollouts = []
    for slot, action in enumerate(drawn.actions):
        value = reward(slot, action)
        score = None if value is None else Reward(slot=slot, value=value, parts={}, feedback="")
        rollouts.append(Rollout(slot, action, float(drawn.log_prob_G[slot]), reward=score))
    return Group(name, step, Example(name, "text"), "physics", step, params, tuple(rollouts))


def noisy(seed: int) -> Callable[[int, Action], float]:
    noise = np.random.default_rng(seed)
    return lambda _, action: worth(action) + noise.normal(scale=0.2)


def groups_of(params: Params, knobs: Clipped, step: int = 0) -> tuple[Group, ...]:
    groups = [act(params, step, f"e{i}", noisy(100 * step + i)) for i in range(8)]
    return advantages.assign(groups, knobs)


def weights_of(params: Params) -> Weights:
    return Weights(0, {"physics": DomainWeights(params, START)})


def step(weights: Weights, groups: tuple[Group, ...], knobs: Clipped) -> update.Updated:
    return update.step(weights, groups, knobs, {"physics": SPACE})


def params_of(weights: Weights) -> Params:
    return weights.domains["physics"].params


def batch_of(acted: Params, rows: int = 40, seed: int = 0) -> clipped.Batch:
    uniforms = policy.uniforms((seed, 0, "batch"), rows, SPACE.uniforms_needed)
    drawn = policy.draw(acted, SPACE, uniforms)
    advantages_R = np.random.default_rng(seed).normal(size=rows)
    return clipped.Batch(drawn.actions, advantages_R, drawn.log_prob_G)


def slopes(function: Callable[[Params], float], params: Params) -> FloatArray:
    flat_d, h = params.flat(), 1e-5
    return np.array(
        [
            (function(params.unflat(flat_d + m)) - function(params.unflat(flat_d - m))) / (2 * h)
            for m in h * np.eye(SPACE.d)
        ]
    )


@pytest.mark.parametrize(
    "knobs",
    [
        Clipped(entropy_coef=0.0),
        Clipped(entropy_coef=0.0, epsilon=0.9, epsilon_high=50.0),
        Clipped(entropy_coef=0.7),
        Clipped(entropy_coef=0.0, beta=0.6),
        Clipped(entropy_coef=0.3, beta=0.2),
    ],
)
def test_gradient_agrees_with_finite_differences_of_the_loss(knobs: Clipped) -> None:
    params, reference, batch = random_params(1), random_params(2), batch_of(random_params(3))
    expected = slopes(lambda law: clipped.loss(law, reference, batch, knobs, SPACE), params)
    found = clipped.gradient(params, reference, batch, knobs, SPACE)
    assert found == pytest.approx(expected, abs=1e-8)


def test_loss_is_the_formula() -> None:
    params, reference, batch = random_params(1), random_params(2), batch_of(random_params(3))
    knobs = Clipped(beta=0.5, entropy_coef=0.25)
    ratio = np.exp(policy.log_prob(params, SPACE, batch.actions) - batch.log_probs)
    terms = np.minimum(ratio * batch.advantages, np.clip(ratio, 0.8, 1.28) * batch.advantages)
    kl = policy.kl(params, reference, SPACE, batch.actions).value
    entropy = policy.entropy(params, SPACE, batch.actions).value
    expected = -(terms.mean() - 0.5 * kl + 0.25 * entropy)
    assert clipped.loss(params, reference, batch, knobs, SPACE) == pytest.approx(expected)


def test_rollouts_beyond_the_clip_push_nothing() -> None:
    acted = random_params(3)
    batch = batch_of(acted, rows=1)
    up = replace_advantage(batch, 1.0)
    moved = acted.unflat(acted.flat() + policy.score(acted, SPACE, batch.actions)[0])
    knobs = Clipped(entropy_coef=0.0)
    assert not clipped.gradient(moved, START, up, knobs, SPACE).any()
    assert clipped.gradient(moved, START, replace_advantage(batch, -1.0), knobs, SPACE).any()
    assert clipped.gradient(acted, START, up, knobs, SPACE) == pytest.approx(
        -policy.score(acted, SPACE, batch.actions)[0], abs=1e-12
    )


def replace_advantage(batch: clipped.Batch, value: float) -> clipped.Batch:
    return batch._replace(advantages=np.full(len(batch.actions), value))


@pytest.mark.parametrize(
    "knobs",
    [
        Clipped(),
        Clipped(optimizer="sgd", learning_rate=5.0, num_iterations=1),
        Clipped(mini_batch_size=16, num_iterations=4),
        Clipped(target_kl=0.3),
    ],
)
def test_640_rollouts_find_an_action_worth_nine_tenths_of_the_best(knobs: Clipped) -> None:
    weights = weights_of(START)
    for number in range(10):
        groups = groups_of(params_of(weights), knobs, number)
        weights, report = step(weights, groups, knobs)
    assert worth(policy.greedy(params_of(weights), SPACE)) >= 0.9 * np.sort(WORTH_N)[-2:].sum()
    assert report.kl > 0.1


def test_the_result_depends_neither_on_the_order_of_groups_nor_of_slots() -> None:
    knobs = Clipped(mini_batch_size=10)
    groups = groups_of(START, knobs)
    shuffled = tuple(replace(g, rollouts=g.rollouts[::-1]) for g in groups[::-1])
    first, second = (step(weights_of(START), each, knobs).weights for each in (groups, shuffled))
    assert np.array_equal(params_of(first).flat(), params_of(second).flat())


def test_mini_batches_hold_every_rollout_once_a_pass() -> None:
    knobs = Clipped(mini_batch_size=10, num_iterations=1, learning_rate=1e-9, entropy_coef=0.0)
    weights, _ = step(weights_of(START), groups_of(START, knobs), knobs)
    assert weights.domains["physics"].state["steps"] == 7
    twice, _ = step(weights, groups_of(START, knobs, 1), knobs)
    assert twice.domains["physics"].state["steps"] == 14


def test_without_spread_nothing_moves_but_the_version() -> None:
    knobs = Clipped(beta=0.5)
    params = random_params(4)
    flat = [act(params, 0, f"e{i}", lambda *_: 0.1) for i in range(3)]
    weights, report = step(weights_of(params), advantages.assign(flat, knobs), knobs)
    assert params_of(weights) is params
    assert weights.version == 1
    assert (report.rollouts_used, report.frac_reward_zero_std, report.kl_step) == (0, 1.0, 0.0)


def test_failed_slots_and_lost_groups_do_not_change_the_step() -> None:
    knobs = Clipped(entropy_coef=0.0)
    groups = groups_of(START, knobs)
    failed = tuple(
        replace(
            group,
            rollouts=(*group.rollouts, replace(group.rollouts[0], slot=8, reward=None)),
        )
        for group in groups
    )
    lonely = act(START, 0, "lonely", lambda slot, _: 9.0 if slot == 0 else None)
    lossy = advantages.assign([*failed, lonely], knobs)
    clean, _ = step(weights_of(START), groups, knobs)
    weights, report = step(weights_of(START), lossy, knobs)
    assert np.array_equal(params_of(weights).flat(), params_of(clean).flat())
    assert report.groups_dropped == 1
    assert report.rollouts_used == 64


def test_logits_stay_centred_within_their_bound() -> None:
    knobs = Clipped(max_logit=0.5, learning_rate=50.0, optimizer="sgd", entropy_coef=0.0)
    params = params_of(step(weights_of(START), groups_of(START, knobs), knobs).weights)
    assert np.abs(params.flat()).max() == 0.5
    free = Clipped(learning_rate=0.01)
    params = params_of(step(weights_of(START), groups_of(START, free), free).weights)
    for part in (params.theta, params.phi, params.eta):
        assert part.mean() == pytest.approx(0, abs=1e-15)


def test_adams_first_step_moves_every_logit_by_the_rate() -> None:
    knobs = Clipped(learning_rate=0.05, num_iterations=1, entropy_coef=0.0)
    params = params_of(step(weights_of(START), groups_of(START, knobs), knobs).weights)
    assert np.ptp(params.theta) == pytest.approx(0.1, abs=1e-6)
    assert np.unique(params.theta.round(6)).size == 2


def test_the_rate_follows_the_exact_kl_of_the_step() -> None:
    slow = Clipped(learning_rate=0.001, target_kl=0.5)
    weights, report = step(weights_of(START), groups_of(START, slow), slow)
    assert report.learning_rate == 0.001
    _, report = step(weights, groups_of(START, slow, 1), slow)
    assert report.learning_rate == pytest.approx(0.0015)
    fast = Clipped(learning_rate=1.0, target_kl=0.001)
    weights, _ = step(weights_of(START), groups_of(START, fast), fast)
    _, report = step(weights, groups_of(START, fast, 1), fast)
    assert report.learning_rate == pytest.approx(1 / 1.5)


def test_a_fixed_rate_stays_as_configured() -> None:
    knobs = Clipped(learning_rate=0.3)
    weights, _ = step(weights_of(START), groups_of(START, knobs), knobs)
    _, report = step(weights, groups_of(START, knobs, 1), knobs)
    assert report.learning_rate == 0.3


def test_a_changed_solver_starts_with_its_own_empty_memory() -> None:
    knobs = Clipped()
    groups = groups_of(START, knobs)
    first, _ = update.step(weights_of(START), groups, Natural(), {"physics": SPACE})
    second, _ = step(first, groups, knobs)
    third, _ = update.step(second, groups, Natural(), {"physics": SPACE})
    assert np.isfinite(params_of(third).flat()).all()


@pytest.mark.parametrize("knobs", [Clipped(), Natural()])
def test_domains_do_not_touch_each_other(knobs: Clipped | Natural) -> None:
    start = DomainWeights(START, START)
    both = Weights(3, {"physics": start, "biology": start})
    groups = groups_of(START, Clipped())
    weights, _ = update.step(both, groups, knobs, {"physics": SPACE, "biology": SPACE})
    alone, _ = update.step(weights_of(START), groups, knobs, {"physics": SPACE})
    assert weights.version == 4
    assert weights.domains["biology"] is start
    assert np.array_equal(params_of(weights).flat(), params_of(alone).flat())


def test_no_groups_at_all_still_make_a_version() -> None:
    weights, report = step(weights_of(START), (), Clipped())
    assert weights.version == 1
    assert report.rollouts_used == report.groups_dropped == 0


def test_a_group_of_one_slot_is_refused() -> None:
    group = act(START, 0, "e1", lambda *_: 0.5)
    single = replace(group, rollouts=group.rollouts[:1])
    with pytest.raises(ValueError, match="group_size must be at least 2"):
        step(weights_of(START), (single,), Clipped())


def test_a_group_of_an_unknown_domain_is_refused() -> None:
    group = replace(act(START, 0, "e1", lambda *_: 0.5), domain="alchemy")
    with pytest.raises(ValueError, match="'alchemy'"):
        step(weights_of(START), (group,), Clipped())
