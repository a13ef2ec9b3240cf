"""Interactions through the whole update: found where they are, summed as everything else is."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from orchestrator import policy, update
from orchestrator.algorithm import Natural
from orchestrator.rollouts import Action, DomainWeights, Example, Group, Rollout, Weights
from orchestrator.space import Space
from orchestrator.update import pairs, sums
from shared.messages import Reward

SPACE = Space(8, 3, 6, tuple((i % 6, (i + 2) % 6) for i in range(8)), (None,) * 8, k=2, f=1)
PAIRS = 28 + 24


def together(action: Action) -> float:
    """Two concepts that please only side by side, under one template; single ones mislead."""
    value = 0.3 * (0 in action.concepts) + 0.3 * (1 in action.concepts)
    if action.concepts == (3, 6):
        value += 1.0 + 0.5 * (action.template == 2)
    return value - 0.8 * (action.concepts == (0, 1))


def alone(action: Action) -> float:
    return 0.5 * (0 in action.concepts) + 0.5 * (4 in action.concepts) + 0.3 * action.template


def grown(
    weights: Weights, step: int, world: Callable[[Action], float], knobs: Natural
) -> tuple[Weights, list[Group]]:
    params = weights.domains["physics"].params
    noise = np.random.default_rng(step)
    groups = []
    for name in ("a", "b", "c", "d"):
        uniforms_GU = policy.uniforms((3, step, name), 8, SPACE.uniforms_needed)
        drawn = policy.draw(params, SPACE, uniforms_GU)
        rollouts = []
        for slot, action in enumerate(drawn.actions):
            value = world(action) + 0.2 * float(noise.normal())
            reward = Reward(slot=slot, value=value, parts={}, feedback="")
            rollouts.append(Rollout(slot, action, float(drawn.log_prob_G[slot]), reward=reward))
        groups.append(
            Group(name, step, Example(name, ""), "physics", step, params, tuple(rollouts))
        )
    return update.step(weights, groups, knobs, {"physics": SPACE}).weights, groups


def trained(world: Callable[[Action], float], knobs: Natural, steps: int = 16) -> Weights:
    start = policy.initial_params(SPACE)
    weights = Weights(0, {"physics": DomainWeights(start, start)})
    for step in range(steps):
        weights, _ = grown(weights, step, world, knobs)
    return weights


def deployed(weights: Weights) -> Action:
    return policy.greedy(weights.domains["physics"].params, SPACE)


def test_a_pair_that_pleases_only_side_by_side_is_found() -> None:
    found = deployed(trained(together, Natural()))
    assert found.concepts == (3, 6)
    assert found.template == 2


def test_without_pairs_only_sums_are_learnt() -> None:
    weights = trained(alone, Natural(max_pairs=PAIRS - 1))
    assert deployed(weights).concepts == (0, 4)
    assert deployed(weights).template == 2
    assert weights.domains["physics"].state["pairs_square"].shape == (0, 0)


def test_in_a_world_of_sums_pairs_cost_nothing() -> None:
    assert deployed(trained(alone, Natural())).concepts == (0, 4)
    assert deployed(trained(alone, Natural())).template == 2


def groups_of(steps: Sequence[int]) -> list[Group]:
    start = policy.initial_params(SPACE)
    fresh = Weights(0, {"physics": DomainWeights(start, start)})
    return [group for step in steps for group in grown(fresh, step, together, Natural())[1]]


def absorbed(old: pairs.PairSums, groups: Sequence[Group], knobs: Natural) -> pairs.PairSums:
    actions = [rollout.action for group in groups for rollout in group.rollouts]
    columns_Rq = pairs.columns(SPACE, actions)
    return pairs.absorbed(old, columns_Rq, sums.rows_of(groups, knobs, SPACE), knobs)


def test_pair_sums_of_parts_add_up_to_those_of_the_whole() -> None:
    groups, knobs = groups_of([0, 1]), Natural()
    zeros = pairs.remembered({}, SPACE.d, PAIRS)
    whole = absorbed(zeros, groups, knobs)
    first = absorbed(zeros, groups[:3], knobs)
    parts = absorbed(first, groups[3:], knobs)
    for left, right in zip(whole, parts, strict=True):
        assert left == pytest.approx(right, abs=1e-12)


def test_pair_sums_are_those_of_the_centred_columns() -> None:
    groups = groups_of([0])
    found = absorbed(pairs.remembered({}, SPACE.d, PAIRS), groups, Natural())
    moved_q, cross_dq = np.zeros(PAIRS), np.zeros((SPACE.d, PAIRS))
    for group in groups:
        actions = [rollout.action for rollout in group.rollouts]
        held_Gq = pairs.columns(SPACE, actions)
        held_Gq -= held_Gq.mean(axis=0)
        score_Gd = policy.score(group.acted, SPACE, actions)
        moved_q += held_Gq.T @ group.rewards()
        cross_dq += (score_Gd - score_Gd.mean(axis=0)).T @ held_Gq
    assert found.moved == pytest.approx(moved_q, abs=1e-12)
    assert found.cross == pytest.approx(cross_dq, abs=1e-12)


def test_the_past_of_pairs_fades_with_all_else() -> None:
    groups, knobs = groups_of([0]), Natural(gamma=0.5)
    ones = pairs.PairSums(np.ones((SPACE.d, PAIRS)), np.ones((PAIRS, PAIRS)), np.ones(PAIRS))
    zeros = pairs.remembered({}, SPACE.d, PAIRS)
    faded = absorbed(ones, groups, knobs)
    fresh = absorbed(zeros, groups, knobs)
    assert faded.moved - fresh.moved == pytest.approx(np.full(PAIRS, 0.5**0.5), abs=1e-12)


def test_what_a_state_remembers_is_what_was_stored_or_nothing_if_the_domain_has_changed() -> None:
    groups = groups_of([0])
    zeros = pairs.remembered({}, SPACE.d, PAIRS)
    found = absorbed(zeros, groups, Natural())
    again = pairs.remembered(pairs.state_of(found), SPACE.d, PAIRS)
    assert all(np.array_equal(a, b) for a, b in zip(found, again, strict=True))
    assert not pairs.remembered(pairs.state_of(found), SPACE.d, 0).moved.size
