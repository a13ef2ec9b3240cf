"""Effects: what simulated worlds are really made of is what the regression finds."""

from dataclasses import replace

import numpy as np
import pytest

from orchestrator import effects, policy
from orchestrator.algorithm import Natural
from orchestrator.effects import Effect, Estimate
from orchestrator.rollouts import Example, Group, Params, Rollout
from orchestrator.space import Space
from shared.messages import Reward
from tests.benchmarks.effects import WORLDS, held
from tests.simulated import SPACE, World, simulate

WORTH = Params(
    np.array([0.10, 0.06, 0.0, 0.0, -0.04, -0.08]),
    np.array([0.05, 0.0, -0.05]),
    np.array([0.04, 0.0, 0.0, 0.0, -0.04]),
)
WORLD = World(parts={"part": WORTH})
#: Explores all the time, so that every pair is seen.
EXPLORING = Natural(exploration="temperature", temperature_scale=6.0, gamma=0.95)


def known(choice: Effect) -> Estimate:
    assert choice.reward is not None
    return choice.reward


def truth() -> list[float]:
    """Each choice against an average other one of its kind."""
    kinds = (WORTH.theta, WORTH.phi, WORTH.eta)
    return [value - float(kind.mean()) for kind in kinds for value in kind.tolist()]


@pytest.mark.parametrize("noise", [0.1, 0.2])
def test_the_truth_is_within_the_intervals_as_often_as_they_say(noise: float) -> None:
    world = World(parts={"part": WORTH}, noise=noise)
    within = []
    for seed in range(25):
        found = effects.estimate(simulate(world, seed).groups, SPACE)
        within += [
            known(choice).low <= true <= known(choice).high
            for choice, true in zip(found.choices, truth(), strict=True)
        ]

    assert 0.9 <= np.mean(within) <= 0.99


def test_the_useful_concepts_come_first_and_each_has_its_rollouts() -> None:
    run = simulate(WORLD, 1, steps=10)
    found = effects.estimate(run.groups, SPACE)
    concepts = found.choices[: SPACE.n]

    ranked = np.argsort([-known(choice).value for choice in concepts]).tolist()
    assert set(ranked[:2]) == {0, 1}
    assert known(concepts[0]).low > 0 > known(concepts[5]).high
    actions = [rollout.action for group in run.groups for rollout in group.rollouts]
    assert concepts[0].rollouts == sum(0 in action.concepts for action in actions)
    assert found.rollouts == len(actions)
    assert found.noise_std == pytest.approx(WORLD.noise, rel=0.15)


def test_each_part_has_effects_of_its_own() -> None:
    other = Params(-WORTH.theta, WORTH.phi, WORTH.eta)
    world = World(
        parts={"one": WORTH, "other": other, "blind": Params(*(0 * a for a in (
            WORTH.theta, WORTH.phi, WORTH.eta)))},
        weights={"one": 0.5, "other": 0.5, "blind": 0.0},
    )  # fmt: skip
    found = effects.estimate(simulate(world, 3, steps=10, knobs=EXPLORING).groups, SPACE)
    best = found.choices[0]

    assert best.parts["one"].low > 0 > best.parts["other"].high
    assert best.parts["blind"].low <= 0 <= best.parts["blind"].high
    assert known(best).low <= 0.0 <= known(best).high


def test_a_pair_that_adds_something_is_found_and_no_other() -> None:
    paired = World(parts={"part": WORTH}, pairs={(2, 4): 0.3})
    plain, with_pair = [], []
    for seed in range(10):
        none = simulate(WORLD, seed, steps=10, knobs=EXPLORING)
        plain += effects.estimate(none.groups, SPACE).pairs
        some = simulate(paired, seed, steps=10, knobs=EXPLORING)
        found = effects.estimate(some.groups, SPACE).pairs
        with_pair.append((found[0].first, found[0].second, found[0].reward.low > 0))

    assert with_pair == [(2, 4, True)] * 10
    assert len(plain) <= 2


def test_a_template_that_suits_a_concept_is_a_pair_too() -> None:
    template_1 = SPACE.n + 1
    world = World(parts={"part": WORTH}, pairs={}, noise=0.05)
    run = simulate(world, 2, steps=10, knobs=EXPLORING)
    groups = [_with_bonus(group, concept=3, template=1) for group in run.groups]

    (first, *_) = effects.estimate(groups, SPACE).pairs

    assert (first.first, first.second) == (3, template_1)
    assert first.reward.low < 0.2 < first.reward.high + 0.1


def _with_bonus(group: Group, concept: int, template: int) -> Group:
    def paid(rollout: Rollout) -> Rollout:
        action, reward = rollout.action, rollout.reward
        assert reward is not None
        bonus = 0.2 * (concept in action.concepts and action.template == template)
        return replace(rollout, reward=reward.model_copy(update={"value": reward.value + bonus}))

    return replace(group, rollouts=tuple(map(paid, group.rollouts)))


def test_without_two_rewards_in_a_group_nothing_is_known() -> None:
    found = effects.estimate((), SPACE)

    assert found.rollouts == 0
    assert {choice.reward for choice in found.choices} == {None}
    assert found.pairs == ()


@pytest.mark.parametrize("world", WORLDS)
def test_intervals_hold_and_clear_effects_have_their_sign_where_something_is_said(
    world: str,
) -> None:
    """Few runs, so wide bounds; ``tests.benchmarks.effects`` has the figures of many."""
    found = held(WORLDS[world], 24, runs=12)

    assert found.said > 0.5
    assert found.within >= 0.85
    assert not found.wrong_sign > 0.2


def test_of_eight_rollouts_nothing_is_said() -> None:
    found = effects.estimate(simulate(WORLD, 0, 1, 1, 8).groups, SPACE)

    assert {choice.reward for choice in found.choices} == {None}
    assert found.rollouts == 8


def test_of_rewards_that_do_not_differ_nothing_is_said() -> None:
    flat = World(noise=0.0, difficulty=0.3)
    found = effects.estimate(simulate(flat, 0).groups, SPACE)

    assert {choice.reward for choice in found.choices} == {None}
    assert found.noise_std == 0.0


def test_of_more_features_than_rollouts_tell_apart_concepts_and_templates_are_still_told() -> None:
    found = effects.estimate(simulate(WORLD, 0, 2, 1, 8).groups, SPACE)

    kinds = np.split(np.array([choice.reward is not None for choice in found.choices]), [6, 9])
    assert [bool(kind.all()) for kind in kinds] == [True, True, True]
    # Fourteen degrees of freedom: fewer than all kinds together take twice over.
    assert found.rollouts == 16


def test_most_pairs_of_a_large_domain_are_passed_over_and_it_takes_no_minutes() -> None:
    n = 150
    space = Space(n, 2, 0, ((),) * n, (None,) * n, k=75, f=0)
    acted = policy.initial_params(space)
    source = np.random.default_rng(0)
    groups = [large(acted, space, name, source) for name in range(40)]

    found = effects.estimate(groups, space)

    assert found.rollouts == 320
    assert len(found.choices) == space.d


def large(acted: Params, space: Space, name: int, source: np.random.Generator) -> Group:
    stream = policy.uniforms((0, 1, f"e{name}"), 8, space.uniforms_needed)
    drawn = policy.draw(acted, space, stream)
    rollouts = tuple(
        Rollout(slot, action, log_prob, reward=Reward(
            slot=slot, value=float(source.random()), parts={}, feedback=""))
        for slot, (action, log_prob) in enumerate(
            zip(drawn.actions, drawn.log_prob_G.tolist(), strict=True))
    )  # fmt: skip
    return Group(f"e{name}", 1, Example(f"e{name}", "text"), "large", 0, acted, rollouts)
