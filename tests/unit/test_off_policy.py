"""Off-policy values: unbiased within their interval, or refused."""

from dataclasses import replace

import numpy as np
import pytest

from orchestrator import off_policy, policy, replay
from orchestrator.algorithm import Natural
from orchestrator.off_policy import MIN_ESS, Estimate, Overlap, Target
from orchestrator.rollouts import Example, Group, Params
from orchestrator.stored_run import Batch
from tests.simulated import DOMAIN, NOTHING, SPACE, Simulated, World, fresh, simulate

WORLD = World(
    parts={
        "part": Params(
            np.array([0.10, 0.06, 0.0, 0.0, -0.04, -0.08]),
            np.array([0.05, 0.0, -0.05]),
            np.array([0.04, 0.0, 0.0, 0.0, -0.04]),
        )
    },
    pairs={(0, 1): 0.05},
)
#: A policy that nobody trained: what is right of it does not depend on the rollouts.
OTHER = Params(
    np.array([1.0, 0.0, 0.5, 0.0, 0.0, -0.5]),
    np.array([0.5, 0.0, -0.5]),
    np.array([0.5] + [0.0] * 4),
)
RUNS = 120
SPACES = {DOMAIN: SPACE}


def learning(seed: int, world: World = WORLD) -> Simulated:
    """A run that changes its policy from step to step, not too fast."""
    return simulate(
        world, seed, steps=5, knobs=Natural(exploration="temperature", temperature_scale=3.0)
    )


def apart(group: Group) -> Group:
    """The group with an example of its own."""
    return replace(group, example=Example(f"{group.id}-{group.step}", "text"))


def right(found: Estimate, truth: float) -> tuple[bool, bool]:
    return (
        found.snips.low <= truth <= found.snips.high,
        found.dr.low <= truth <= found.dr.high,
    )


def test_in_93_of_100_runs_the_true_value_is_within_the_interval() -> None:
    hits = dict[str, list[tuple[bool, bool]]](initial=[], other=[])
    errors = dict[str, list[tuple[float, float]]](initial=[], other=[])
    for seed in range(RUNS):
        groups = learning(seed).groups
        for name, target in (("initial", NOTHING), ("other", OTHER)):
            found = off_policy.estimate(groups, {DOMAIN: Target(target)}, SPACES)
            truth = WORLD.value_of(target)
            assert found is not None
            if found.overlap.too_thin is None:
                hits[name].append(right(found, truth))
                errors[name].append((found.snips.value - truth, found.dr.value - truth))

    for name in hits:
        assert len(hits[name]) > 0.95 * RUNS
        assert np.mean(hits[name], axis=0).min() >= 0.93, name
        biases, spreads = np.mean(errors[name], axis=0), np.std(errors[name], axis=0)
        assert np.all(np.abs(biases) < 3 * spreads / np.sqrt(RUNS))
        assert spreads[1] < spreads[0]


def test_the_acting_policy_itself_has_weights_of_exactly_1() -> None:
    groups = simulate(WORLD, 0, steps=1).groups
    found = off_policy.estimate(groups, {DOMAIN: Target(NOTHING)}, SPACES)

    assert found is not None
    rewards = np.concatenate([group.rewards() for group in groups])
    assert found.snips.value == pytest.approx(rewards.mean(), abs=1e-12)
    assert found.overlap.ess == pytest.approx(len(rewards))
    assert found.overlap.mean_weight == pytest.approx(1.0, abs=1e-12)


def test_what_was_never_tried_is_refused() -> None:
    groups = simulate(WORLD, 0, steps=2).groups
    sharp = Params(np.array([0, 0, 0, 0, 60.0, 60.0]), NOTHING.phi, NOTHING.eta)
    fixed = Params(np.array([30.0, 30.0, 0, 0, 0, 0]), np.array([30.0, 0, 0]), NOTHING.eta)
    acted = [replace(g, acted=fixed) for g in simulate(WORLD, 1, steps=1).groups]

    few = off_policy.estimate(groups, {DOMAIN: Target(sharp, greedy=True)}, SPACES)
    never = off_policy.estimate(acted, {DOMAIN: Target(sharp)}, SPACES)

    assert few is not None
    assert few.overlap.too_thin is not None
    assert never is not None
    assert never.overlap.too_thin is not None
    assert off_policy.estimate(groups[:1], {DOMAIN: Target(NOTHING)}, SPACES) is None


@pytest.mark.parametrize(
    ("overlap", "words"),
    [
        (Overlap(1000, 400.0, 1.05, 0.01), None),
        (Overlap(1000, MIN_ESS - 1, 1.0, 0.03), "only 49 of 1000 rollouts count"),
        (Overlap(1000, 400.0, 0.7, 0.01), "hardly ever tried"),
        (Overlap(1000, 80.0, 1.0, 0.2), "one rollout alone has 20% of all weight"),
    ],
)
def test_a_refusal_says_why(overlap: Overlap, words: str | None) -> None:
    assert overlap.too_thin is None if words is None else words in str(overlap.too_thin)


def test_a_policy_judged_by_its_own_rollouts_is_praised_for_luck_unless_cross_fitted() -> None:
    world = World(noise=0.2)
    own, crossed = [], []
    for seed in range(25):
        run = simulate(world, seed, steps=8, batch=8)
        batches = [Batch(n, tuple(map(apart, groups))) for n, groups in run.batches]
        naive = off_policy.estimate(replay.flat(batches), {DOMAIN: Target(run.params)}, SPACES)
        fitted = replay.cross_fitted(batches, fresh(), Natural(), SPACES)
        assert naive is not None
        assert fitted is not None
        own.append(right(naive, 0.5)[1])
        if fitted.overlap.too_thin is None:
            crossed.append(right(fitted, 0.5)[1])

    assert np.mean(own) < 0.8
    assert len(crossed) > 15
    assert np.mean(crossed) >= 0.93


def test_the_deployed_policy_is_its_best_action_alone() -> None:
    run = simulate(WORLD, 4, steps=12)
    target = Target(run.params, greedy=True)
    best = policy.greedy(run.params, SPACE)

    found = off_policy.estimate(run.groups, {DOMAIN: target}, SPACES)

    assert found is not None
    assert found.overlap.rollouts == 12 * 6 * 6
    rewards = [
        r.reward.value
        for group in run.groups
        for r in group.rollouts
        if r.reward is not None and r.action == best
    ]
    assert min(rewards) <= found.snips.value <= max(rewards)
