"""The textbook step's choices: each loss's gradient, each optimizer's step, baseline and bounds."""

import itertools
from collections.abc import Callable

import numpy as np
import pytest

from orchestrator import advantages, policy, update
from orchestrator.algorithm import Clipped
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
from orchestrator.update import clipped, ema, entropy, trust
from orchestrator.update.batch import Batch, batch_of, factor_log_probs
from orchestrator.update.losses import LOSSES
from orchestrator.update.optimizers import natural_gradient
from shared.messages import Reward

SPACE = Space(
    8, 3, 6, tuple((i % 6, (i + 1) % 6, (i + 3) % 6) for i in range(8)), (None,) * 8, k=2, f=2
)
START = policy.initial_params(SPACE)
WORTH_N = np.array([0.9, -0.4, 0.2, 0.0, 0.7, -0.8, 0.1, -0.1])


def params_at(seed: int, size: float = 1.0) -> Params:
    return START.unflat(size * np.random.default_rng(seed).uniform(-1, 1, SPACE.d))


def batch_from(acted: Params, rows: int = 40, seed: int = 0) -> Batch:
    uniforms = policy.uniforms((seed, 0, "batch"), rows, SPACE.uniforms_needed)
    drawn = policy.draw(acted, SPACE, uniforms)
    advantages_R = np.random.default_rng(seed).normal(size=rows)
    factors = factor_log_probs(acted, SPACE, drawn.actions)
    return Batch(drawn.actions, advantages_R, drawn.log_prob_G, factors)


def slopes(function: Callable[[Params], float], params: Params) -> FloatArray:
    flat_d, h = params.flat(), 1e-5
    return np.array(
        [
            (function(params.unflat(flat_d + m)) - function(params.unflat(flat_d - m))) / (2 * h)
            for m in h * np.eye(SPACE.d)
        ]
    )


def act(params: Params, step: int, name: str, noise: float = 0.2, offset: float = 0.0) -> Group:
    drawn = policy.draw(params, SPACE, policy.uniforms((5, step, name), 8, SPACE.uniforms_needed))
    draws = np.random.default_rng([step, *name.encode()])
    rollouts = []
    for slot, action in enumerate(drawn.actions):
        value = worth(action) + offset + noise * draws.normal()
        reward = Reward(slot=slot, value=value, parts={}, feedback="")
        rollouts.append(Rollout(slot, action, float(drawn.log_prob_G[slot]), reward=reward))
    return Group(name, step, Example(name, ""), "physics", step, params, tuple(rollouts))


def worth(action: Action) -> float:
    return float(WORTH_N[list(action.concepts)].sum())


def trained(knobs: Clipped, steps: int = 10) -> Weights:
    weights = Weights(0, {"physics": DomainWeights(START, START)})
    for step in range(steps):
        params = weights.domains["physics"].params
        groups = advantages.assign([act(params, step, f"e{i}") for i in range(8)], knobs)
        weights, _ = update.step(weights, groups, knobs, {"physics": SPACE})
    return weights


@pytest.mark.parametrize("loss_type", ["ppo_clip", "gspo", "reinforce"])
@pytest.mark.parametrize("size", [0.3, 1.0])
def test_a_losss_gradient_agrees_with_finite_differences(loss_type: str, size: float) -> None:
    knobs = Clipped.model_validate({"loss_type": loss_type, "entropy_coef": 0.0})
    params, batch = params_at(1, size), batch_from(params_at(3, size))

    def value(law: Params) -> float:
        return LOSSES[loss_type](law, batch, knobs, SPACE).value

    found = LOSSES[loss_type](params, batch, knobs, SPACE).gradient_d
    assert found == pytest.approx(slopes(value, params), abs=1e-8)
    assert np.abs(found).max() > 1e-3


def test_cispos_gradient_is_that_of_its_log_probs_with_the_weights_held() -> None:
    knobs = Clipped(loss_type="cispo", entropy_coef=0.0)
    params, acted = params_at(1), params_at(3)
    batch = batch_from(acted)
    assert batch.factors is not None
    ratio_R3 = np.exp(factor_log_probs(params, SPACE, batch.actions) - batch.factors)
    held_R3 = np.minimum(ratio_R3, 1.28) * batch.advantages[:, None]
    assert (ratio_R3 > 1.28).any()

    def value(law: Params) -> float:
        return float((held_R3 * factor_log_probs(law, SPACE, batch.actions)).sum(axis=1).mean())

    found = LOSSES["cispo"](params, batch, knobs, SPACE)
    assert found.gradient_d == pytest.approx(slopes(value, params), abs=1e-8)
    assert found.clipped_R.sum() == np.any(ratio_R3 > 1.28, axis=1).sum()


def test_the_factors_log_probs_add_up_to_the_actions() -> None:
    params, acted = params_at(1), params_at(3)
    batch = batch_from(acted)
    assert batch.factors is not None
    moved_R = (factor_log_probs(params, SPACE, batch.actions) - batch.factors).sum(axis=1)
    expected_R = policy.log_prob(params, SPACE, batch.actions) - batch.log_probs
    assert moved_R == pytest.approx(expected_R, abs=1e-12)


@pytest.mark.parametrize("loss_type", list(LOSSES))
def test_on_policy_every_loss_pushes_along_the_score(loss_type: str) -> None:
    knobs = Clipped.model_validate({"loss_type": loss_type})
    acted = params_at(2)
    batch = batch_from(acted)
    parts = 5.0 if loss_type == "gspo" else 1.0
    expected_d = batch.advantages @ policy.score(acted, SPACE, batch.actions) / 40 / parts
    found = LOSSES[loss_type](acted, batch, knobs, SPACE)
    assert found.gradient_d == pytest.approx(expected_d, abs=1e-12)
    assert not found.clipped_R.any()


def test_a_stale_action_is_silenced_by_the_joint_clip_and_not_by_the_others() -> None:
    acted = params_at(2)
    one = batch_from(acted, rows=1)
    assert one.factors is not None
    up = one._replace(advantages=np.ones(1))
    moved = acted.unflat(acted.flat() + 0.3 * policy.score(acted, SPACE, up.actions)[0])
    pushed = {
        name: bool(LOSSES[name](moved, up, Clipped(), SPACE).gradient_d.any()) for name in LOSSES
    }
    assert pushed == {"ppo_clip": False, "cispo": True, "gspo": True, "reinforce": True}


@pytest.mark.parametrize(
    "knobs",
    [
        Clipped(loss_type="cispo"),
        Clipped(loss_type="gspo"),
        Clipped(loss_type="reinforce", num_iterations=1, learning_rate=1.0),
        Clipped(optimizer="natural_gradient", learning_rate=1.0, num_iterations=1, max_kl=1.0),
        Clipped(advantage="ema"),
        Clipped(advantage="rloo"),
        Clipped(entropy_target=0.3),
    ],
    ids=lambda knobs: " ".join(f"{v}" for v in knobs.model_dump(exclude_defaults=True).values()),
)
def test_640_rollouts_find_an_action_worth_nine_tenths_of_the_best(knobs: Clipped) -> None:
    params = trained(knobs).domains["physics"].params
    assert worth(policy.greedy(params, SPACE)) >= 0.9 * np.sort(WORTH_N)[-2:].sum()


def test_the_fisher_matrix_is_the_curvature_of_the_kl() -> None:
    params = params_at(4)
    actions = batch_from(params).actions

    def slope(law: Params) -> FloatArray:
        return policy.kl(law, params, SPACE, actions).gradient_d

    flat_d, h = params.flat(), 1e-5
    expected_dd = np.array(
        [
            (slope(params.unflat(flat_d + m)) - slope(params.unflat(flat_d - m))) / (2 * h)
            for m in h * np.eye(SPACE.d)
        ]
    )
    found_dd = natural_gradient.fisher(params, SPACE, actions)
    assert found_dd == pytest.approx(expected_dd, abs=1e-8)
    assert np.diag(found_dd) == pytest.approx(
        policy.score_variance(params, SPACE, actions), abs=1e-12
    )


def test_the_fisher_matrix_is_the_covariance_of_all_actions_scores() -> None:
    space = Space(5, 2, 0, ((),) * 5, (None,) * 5, k=2, f=0)
    params = Params(np.linspace(-1, 1, 5), np.array([0.3, -0.3]), np.zeros(0))
    every = [
        Action(concepts, template, ())
        for concepts in itertools.combinations(range(5), 2)
        for template in range(2)
    ]
    law_R = np.exp(policy.log_prob(params, space, every))
    score_Rd = policy.score(params, space, every)
    expected_dd = (score_Rd * law_R[:, None]).T @ score_Rd
    found_dd = natural_gradient.fisher(params, space, every)
    assert found_dd == pytest.approx(expected_dd, abs=1e-12)


@pytest.mark.parametrize("optimizer", ["adam", "sgd", "natural_gradient"])
def test_no_optimizer_step_exceeds_max_kl(optimizer: str) -> None:
    knobs = Clipped.model_validate(
        {"optimizer": optimizer, "learning_rate": 50.0, "num_iterations": 1, "max_kl": 0.05}
    )
    groups = advantages.assign([act(START, 0, f"e{i}") for i in range(8)], knobs)
    start = Weights(0, {"physics": DomainWeights(START, START)})
    _, report = update.step(start, groups, knobs, {"physics": SPACE})
    assert report.kl_step == pytest.approx(0.05, abs=1e-6)
    assert report.kl_step <= 0.05 + 1e-12


def test_within_leaves_a_small_step_alone() -> None:
    old, new = params_at(1), params_at(2)
    assert trust.within(1e6, old, new, SPACE, [policy.greedy(old, SPACE)]) is new


def test_the_running_baseline_starts_at_the_first_batch_and_follows_slowly() -> None:
    knobs = Clipped(advantage="ema")
    first = ema.compared(np.array([1.0, 3.0]), {}, knobs)
    assert first.advantages == pytest.approx([-1 / (1 + 1e-4), 1 / (1 + 1e-4)])
    state = first.baseline._asdict()
    second = ema.compared(np.array([12.0, 12.0]), state, knobs)
    assert second.advantages == pytest.approx([10 / (1 + 1e-4)] * 2)
    assert second.baseline.reward_mean == pytest.approx(3.0)
    assert second.baseline.reward_variance == pytest.approx(0.9 * 1 + 0.1 * 100)
    plain = ema.compared(np.array([12.0]), state, Clipped(advantage="ema", scale_rewards="none"))
    assert plain.advantages == pytest.approx([10.0])


def test_with_a_running_baseline_a_whole_batch_can_be_above_it() -> None:
    knobs = Clipped(advantage="ema", entropy_coef=0.0)
    groups = [act(START, 0, f"e{i}") for i in range(4)]
    start = Weights(0, {"physics": DomainWeights(START, START)})
    weights, _ = update.step(start, advantages.assign(groups, knobs), knobs, {"physics": SPACE})
    mean = float(weights.domains["physics"].state["reward_mean"])
    better = [act(START, 1, f"e{i}", offset=100.0) for i in range(4)]
    after, report = update.step(
        weights, advantages.assign(better, knobs), knobs, {"physics": SPACE}
    )
    assert report.rollouts_used == 32
    moved = float(after.domains["physics"].state["reward_mean"]) - mean
    assert moved == pytest.approx(10.0, abs=0.2)


def test_the_entropy_coefficient_rises_below_the_target_and_falls_above_it() -> None:
    knobs = Clipped(entropy_target=0.5, entropy_coef=0.02)
    actions = [policy.greedy(START, SPACE)]
    assert entropy.followed(0.02, START, SPACE, actions, knobs) == pytest.approx(0.02 / 1.5)
    sharp = START.unflat(20 * np.arange(SPACE.d, dtype=np.float64))
    assert entropy.followed(0.02, sharp, SPACE, actions, knobs) == pytest.approx(0.02 * 1.5)
    assert entropy.followed(2.0, sharp, SPACE, actions, knobs) == 2.0
    assert entropy.followed(0.3, sharp, SPACE, actions, Clipped()) == 0.3


def test_a_target_holds_the_entropy_that_a_fixed_coefficient_loses() -> None:
    def share(knobs: Clipped) -> float:
        params = trained(knobs, steps=30).domains["physics"].params
        actions = [policy.greedy(params, SPACE)]
        largest = policy.entropy(START, SPACE, actions).value
        return policy.entropy(params, SPACE, actions).value / largest

    free = share(Clipped(entropy_coef=0.01))
    held = share(Clipped(entropy_coef=0.01, entropy_target=0.6))
    assert free < 0.3
    assert held > 0.45


def test_a_batch_holds_each_rollout_with_an_advantage_in_order() -> None:
    groups = advantages.assign([act(START, 0, "e0"), act(params_at(2), 1, "e1")], Clipped())
    batch = batch_of(groups, SPACE, factors=True)
    flat = [rollout for group in groups for rollout in group.rollouts]
    assert batch.actions == tuple(rollout.action for rollout in flat)
    assert batch.log_probs.tolist() == [rollout.log_prob for rollout in flat]
    assert batch.factors is not None
    expected = factor_log_probs(params_at(2), SPACE, batch.actions[8:])
    assert np.array_equal(batch.factors[8:], expected)
    last = batch.take(np.array([15]))
    assert last.actions == batch.actions[15:]
    assert last.factors is not None
    assert np.array_equal(last.factors, batch.factors[15:])
    assert batch_of(groups, SPACE).factors is None
    assert clipped.Batch is Batch
