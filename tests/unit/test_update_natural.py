"""The closed form: what it is invariant to, what it learns, and what never breaks it."""

from collections.abc import Callable, Sequence
from dataclasses import replace

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
    Params,
    Rollout,
    Weights,
)
from orchestrator.space import Space
from orchestrator.update import sums, tempered
from shared.messages import Reward

SPACE = Space(
    8, 3, 6, tuple((i % 6, (i + 1) % 6, (i + 3) % 6) for i in range(8)), (None,) * 8, k=2, f=2
)
#: What each concept, template and feature is worth in the tests' world.
WORTH = policy.initial_params(SPACE).unflat(
    np.array([0.9, -0.4, 0.2, 0.0, 0.7, -0.8, 0.1, -0.1] + [0.3, 0.0, -0.3] + [0.0] * 6)
)

EXPLORATIONS = [Natural(), Natural(exploration="temperature")]


def worth(action: Action) -> float:
    concepts = WORTH.theta[list(action.concepts)].sum()
    features = WORTH.eta[list(action.features)].sum()
    return float(concepts + WORTH.phi[action.template] + features)


def rollout(slot: int, action: Action, log_prob: float, value: float | None) -> Rollout:
    reward = None if value is None else Reward(slot=slot, value=value, parts={}, feedback="")
    return Rollout(slot, action, log_prob, reward=reward)


def act(
    params: Params, step: int, name: str, reward: Callable[[int, Action], float | None]
) -> Group:
    uniforms = policy.uniforms((5, step, name), 8, SPACE.uniforms_needed)
    drawn = policy.draw(params, SPACE, uniforms)
    rollouts = tuple(
        rollout(slot, action, log_prob, reward(slot, action))
        for slot, (action, log_prob) in enumerate(
            zip(drawn.actions, drawn.log_prob_G.tolist(), strict=True)
        )
    )
    return Group(name, step, Example(name, "text"), "physics", step, params, rollouts)


def fresh() -> Weights:
    start = policy.initial_params(SPACE)
    return Weights(0, {"physics": DomainWeights(start, start)})


def params_of(weights: Weights) -> Params:
    return weights.domains["physics"].params


def noisy(seed: int) -> Callable[[int, Action], float]:
    noise = np.random.default_rng(seed)
    return lambda _, action: worth(action) + noise.normal(scale=0.4)


def batch(params: Params, step: int = 0, size: int = 8) -> list[Group]:
    return [act(params, step, f"e{i}", noisy(100 * step + i)) for i in range(size)]


def train(steps: int, knobs: Natural, size: int = 8) -> Weights:
    weights = fresh()
    for step in range(steps):
        groups = batch(params_of(weights), step, size)
        weights, _ = update.step(weights, groups, knobs, {"physics": SPACE})
    return weights


def rescaled(groups: Sequence[Group], change: Callable[[Group, float], float]) -> list[Group]:
    return [
        replace(
            group,
            rollouts=tuple(
                rollout(r.slot, r.action, r.log_prob, change(group, float(value)))
                for r, value in zip(group.rollouts, group.rewards(), strict=True)
            ),
        )
        for group in groups
    ]


def solved(groups: Sequence[Group], knobs: Natural | None = None) -> FloatArray:
    done = update.step(fresh(), groups, knobs or Natural(), {"physics": SPACE})
    return params_of(done.weights).flat()


def absorbed(old: sums.Statistics, groups: Sequence[Group], knobs: Natural) -> sums.Statistics:
    return sums.absorbed(old, sums.rows_of(groups, knobs, SPACE), knobs)


@pytest.mark.parametrize("knobs", EXPLORATIONS)
def test_params_do_not_change_under_an_affine_map_of_the_rewards(knobs: Natural) -> None:
    groups = batch(params_of(fresh()))
    moved = rescaled(groups, lambda _, value: 7 * value + 3)
    assert solved(moved, knobs) == pytest.approx(solved(groups, knobs), abs=1e-10)
    assert np.ptp(solved(groups, knobs)) > 1


@pytest.mark.parametrize("knobs", EXPLORATIONS)
def test_a_prompts_difficulty_cancels(knobs: Natural) -> None:
    groups = batch(params_of(fresh()))
    moved = rescaled(groups, lambda group, value: value + int(group.id[1:]) * 1.7)
    assert solved(moved, knobs) == pytest.approx(solved(groups, knobs), abs=1e-10)


@pytest.mark.parametrize("knobs", EXPLORATIONS)
def test_the_order_of_arrival_changes_nothing(knobs: Natural) -> None:
    groups = batch(params_of(fresh()))
    shuffled = [replace(g, rollouts=g.rollouts[::-1]) for g in groups[::-1]]
    assert np.array_equal(solved(shuffled, knobs), solved(groups, knobs))
    renamed = [replace(g, id=f"e{9 - i}") for i, g in enumerate(groups)]
    assert solved(renamed, knobs) == pytest.approx(solved(groups, knobs), abs=1e-10)


def test_statistics_of_parts_add_up_to_those_of_the_whole() -> None:
    groups, knobs = batch(params_of(fresh())), Natural(gamma=1.0)
    zeros = sums.remembered({}, SPACE.d)
    whole = absorbed(zeros, groups, knobs)
    parts = absorbed(absorbed(zeros, groups[:3], knobs), groups[3:], knobs)
    for left, right in zip(whole, parts, strict=True):
        assert left == pytest.approx(right, abs=1e-12)


def test_the_past_fades_per_64_rollouts_however_they_are_batched() -> None:
    groups, knobs = batch(params_of(fresh())), Natural(gamma=0.5)
    start = sums.Statistics(np.eye(SPACE.d), np.ones(SPACE.d), np.array(1.0), np.array(1.0))
    once = absorbed(start, groups, knobs)
    fresh_part = absorbed(sums.remembered({}, SPACE.d), groups, knobs)
    assert once.b - fresh_part.b == pytest.approx(np.full(SPACE.d, 0.5), abs=1e-12)
    quarter = absorbed(start, groups[:2], knobs)
    fresh_quarter = absorbed(sums.remembered({}, SPACE.d), groups[:2], knobs)
    assert float(quarter.N - fresh_quarter.N) == pytest.approx(0.5**0.25, abs=1e-12)


def test_the_posterior_is_the_ridge_regression_of_largest_evidence() -> None:
    statistics = absorbed(sums.remembered({}, SPACE.d), batch(params_of(fresh())), Natural())
    belief = tempered.posterior(statistics)
    inverse = np.linalg.inv(statistics.A + belief.ridge * np.eye(SPACE.d))
    mean_d = inverse @ statistics.b
    noise = (statistics.c - statistics.b @ mean_d) / statistics.N
    assert belief.mean == pytest.approx(mean_d, abs=1e-10)
    assert belief.variance == pytest.approx(noise * np.diag(inverse), abs=1e-10)

    def evidence(ridge: float) -> float:
        kernel = statistics.A + ridge * np.eye(SPACE.d)
        residual = statistics.c - statistics.b @ np.linalg.solve(kernel, statistics.b)
        complexity = np.linalg.slogdet(kernel / ridge)[1]
        return float(-0.5 * (statistics.N * np.log(residual / statistics.N) + complexity))

    assert evidence(belief.ridge) == pytest.approx(max(map(evidence, tempered.RIDGES_L)), abs=1e-9)


def test_the_result_maximises_reward_minus_temperature_times_kl() -> None:
    """Its gradient is zero there, checked on the concepts."""
    groups, knobs = batch(params_of(fresh())), Natural(exploration="temperature")
    done = update.step(fresh(), groups, knobs, {"physics": SPACE})
    after = done.weights.domains["physics"]
    belief = tempered.posterior(sums.remembered(after.state, SPACE.d))
    temperature = done.report.temperature
    assert temperature is not None

    def objective(theta_n: FloatArray) -> float:
        params = Params(theta_n, after.reference.phi, after.reference.eta)
        reward = belief.mean[: SPACE.n] @ policy.inclusion(params, SPACE)
        kl = policy.kl(params, after.reference, SPACE, [policy.greedy(params, SPACE)])
        return float(reward - temperature * kl.value)

    h = 1e-5
    slopes = [
        (objective(after.params.theta + move) - objective(after.params.theta - move)) / (2 * h)
        for move in h * np.eye(SPACE.n)
    ]
    assert slopes == pytest.approx([0.0] * SPACE.n, abs=1e-8)


@pytest.mark.parametrize("knobs", EXPLORATIONS)
@pytest.mark.parametrize("size", [2, 8])
def test_256_rollouts_find_nine_tenths_of_the_best(size: int, knobs: Natural) -> None:
    weights = train(256 // (8 * size), knobs, size)
    best = worth(policy.greedy(WORTH, SPACE))
    assert worth(policy.greedy(params_of(weights), SPACE)) >= 0.9 * best
    drawn = policy.draw(
        params_of(weights), SPACE, policy.uniforms((1, 1, "check"), 200, SPACE.uniforms_needed)
    )
    assert np.mean([worth(action) for action in drawn.actions]) > 0.75 * best


def test_failed_slots_change_nothing_and_are_not_zeros() -> None:
    groups = batch(params_of(fresh()))

    def with_three_more_slots(value: float | None) -> list[Group]:
        return [
            replace(
                group,
                rollouts=group.rollouts
                + tuple(
                    rollout(r.slot + 8, r.action, r.log_prob, value) for r in group.rollouts[:3]
                ),
            )
            for group in groups
        ]

    assert np.array_equal(solved(with_three_more_slots(None)), solved(groups))
    assert np.abs(solved(with_three_more_slots(0.0)) - solved(groups)).max() > 0.1


def test_a_first_step_without_spread_leaves_the_reference_and_is_counted() -> None:
    start = params_of(fresh())
    three = [act(start, 0, f"e{i}", lambda j, _: 0.1 if j < 3 else None) for i in range(4)]
    weights, report = update.step(fresh(), three, Natural(), {"physics": SPACE})
    assert not weights.domains["physics"].state["b"].any()
    assert np.array_equal(params_of(weights).flat(), start.flat())
    assert weights.version == 1
    assert report.frac_reward_zero_std == 1.0
    assert report.rollouts_used == 12
    assert report.kl_step == 0
    assert report.temperature is None


def test_groups_of_fewer_than_two_survivors_are_dropped_and_counted() -> None:
    start = params_of(fresh())
    good = batch(start)
    lonely = act(start, 0, "lonely", lambda slot, _: 5.0 if slot == 0 else None)
    dead = act(start, 0, "dead", lambda *_: None)
    weights, report = update.step(fresh(), [dead, *good, lonely], Natural(), {"physics": SPACE})
    assert report.groups_dropped == 2
    assert report.rollouts_used == 64
    assert np.array_equal(params_of(weights).flat(), solved(good))
    only_dead, report = update.step(weights, [dead, lonely], Natural(), {"physics": SPACE})
    assert only_dead.domains["physics"] is weights.domains["physics"]
    assert only_dead.version == weights.version + 1
    assert report.rollouts_used == 0


@pytest.mark.parametrize("knobs", EXPLORATIONS)
def test_a_world_without_noise_stays_finite_and_within_the_stated_spread(knobs: Natural) -> None:
    weights = fresh()
    for step in range(40):
        groups = [act(params_of(weights), step, f"e{i}", lambda _, a: worth(a)) for i in range(4)]
        weights, report = update.step(weights, groups, knobs, {"physics": SPACE})
        params = params_of(weights)
        assert np.isfinite(params.flat()).all()
        assert all(np.isfinite(value).all() for value in weights.domains["physics"].state.values())
        assert max(np.ptp(part) for part in (params.theta, params.phi, params.eta)) <= 30.0 + 1e-9
        assert np.isfinite([report.kl, report.entropy, report.kl_step]).all()
    assert worth(policy.greedy(params_of(weights), SPACE)) == worth(policy.greedy(WORTH, SPACE))


def test_statistics_are_the_centred_scores_under_the_params_that_acted() -> None:
    sharp = WORTH.unflat(np.sin(np.arange(SPACE.d)))
    groups = batch(sharp)
    weights, _ = update.step(fresh(), groups, Natural(), {"physics": SPACE})
    b_d, spread = np.zeros(SPACE.d), 0.0
    for group in groups:
        score_Gd = policy.score(sharp, SPACE, [r.action for r in group.rollouts])
        y_G = group.rewards() - group.rewards().mean()
        b_d += (score_Gd - score_Gd.mean(axis=0)).T @ y_G
        spread += y_G @ y_G
    state = weights.domains["physics"].state
    assert state["b"] == pytest.approx(b_d, abs=1e-12)
    assert state["c"] == pytest.approx(spread, abs=1e-12)
    assert state["N"] == 64 - 8


def test_the_step_stops_where_its_kl_reaches_max_kl() -> None:
    groups = batch(params_of(fresh()))
    _, free = update.step(fresh(), groups, Natural(), {"physics": SPACE})
    _, bounded = update.step(fresh(), groups, Natural(max_kl=0.1), {"physics": SPACE})
    assert free.kl_step > 0.2
    assert bounded.kl_step == pytest.approx(0.1, abs=1e-6)
    assert bounded.kl_step <= 0.1
    loose = solved(groups, Natural(max_kl=100.0))
    assert np.array_equal(loose, solved(groups))


def test_every_factor_stays_centred_around_its_reference() -> None:
    weights = train(6, Natural())
    domain = weights.domains["physics"]
    for name in ("theta", "phi", "eta"):
        moved = getattr(domain.params, name) - getattr(domain.reference, name)
        assert moved.mean() == pytest.approx(0, abs=1e-12)
