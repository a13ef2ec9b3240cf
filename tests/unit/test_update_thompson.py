"""Thompson sampling within the family: the belief, the best action of a draw, the law that fits."""

import itertools

import numpy as np
import pytest

from orchestrator import policy
from orchestrator.rollouts import Action, FloatArray, Params
from orchestrator.space import Space
from orchestrator.update import natural, pairs, thompson
from orchestrator.update.belief import FIRST_RIDGE_OF_PAIRS, Belief, believe
from orchestrator.update.best import best_actions
from orchestrator.update.triangular import root_of_inverse

SPACE = Space(
    7, 3, 6, tuple((i % 6, (i + 1) % 6, (i + 3) % 6) for i in range(7)), (None,) * 7, k=2, f=2
)
THREE = Space(
    7, 2, 6, tuple((i % 6, (i + 1) % 6, (i + 3) % 6) for i in range(7)), (None,) * 7, k=3, f=2
)
UNIFORM = policy.initial_params(SPACE)


def actions_of(space: Space) -> list[Action]:
    found = []
    for concepts in itertools.combinations(range(space.n), space.k):
        chosen = np.isin(np.arange(space.n), concepts)[None]
        candidates = np.flatnonzero(space.candidates(chosen)[0]).tolist()
        for features in itertools.combinations(candidates, min(space.f, len(candidates))):
            found += [Action(concepts, template, features) for template in range(space.T)]
    return found


def worth(worths_P: FloatArray, space: Space, action: Action) -> float:
    """What the search maximises first: concepts, template and their pairs."""
    held_P = np.zeros(space.d)
    held_P[list(action.concepts)] = 1
    held_P[space.n + action.template] = 1
    total = float(held_P @ worths_P[: space.d])
    if len(worths_P) > space.d:
        total += float(pairs.columns(space, [action])[0] @ worths_P[space.d :])
    return total


def feature_worth(worths_P: FloatArray, space: Space, action: Action) -> float:
    first = space.n + space.T
    return float(worths_P[first : space.d][list(action.features)].sum())


def columns_with_pairs(space: Space) -> int:
    return space.d + pairs.count(space, 10_000)


def made(space: Space, mean_P: FloatArray, deviation: float) -> Belief:
    """A belief of that mean and of one deviation for all columns."""
    size = len(mean_P)
    return Belief(
        gram=np.zeros((size, size)),
        moved=mean_P,
        root=np.eye(size),
        ridges=np.ones(5),
        ridge=np.ones(size),
        noise=deviation**2,
        freedom=50.0,
        evidence=0.0,
        misfit=1.0,
        misfit_at_start=1.0,
    )


@pytest.mark.parametrize("space", [SPACE, THREE])
@pytest.mark.parametrize("with_pairs", [False, True])
def test_the_best_action_is_the_best_of_all(space: Space, with_pairs: bool) -> None:
    size = columns_with_pairs(space) if with_pairs else space.d
    worths_LP = np.random.default_rng(3).normal(size=(30, size))
    found = best_actions(worths_LP, space)
    everything = actions_of(space)
    for draw, worths_P in enumerate(worths_LP):
        action = found.action(draw)
        best = max(worth(worths_P, space, one) for one in everything)
        assert worth(worths_P, space, action) == pytest.approx(best, abs=1e-12)
        same_sets = [one for one in everything if one.concepts == action.concepts]
        most = max(feature_worth(worths_P, space, one) for one in same_sets)
        assert feature_worth(worths_P, space, action) == pytest.approx(most, abs=1e-12)


def test_the_best_action_is_an_action_of_the_space_and_ties_go_to_the_lowest_index() -> None:
    for size in (SPACE.d, columns_with_pairs(SPACE)):
        action = best_actions(np.zeros((1, size)), SPACE).action(0)
        assert action == policy.greedy(UNIFORM, SPACE)
        assert np.isfinite(policy.log_prob(UNIFORM, SPACE, [action]))


def test_pairs_are_counted_and_left_out_where_there_are_too_many() -> None:
    assert pairs.count(SPACE, 42) == 7 * 6 // 2 + 7 * 3 == 42
    assert pairs.count(SPACE, 41) == 0
    columns_Rq = pairs.columns(SPACE, [Action((1, 4), 2, (0, 1))])
    first_q, second_q = pairs.concept_pairs(SPACE)
    held = [(int(first_q[q]), int(second_q[q])) for q in np.flatnonzero(columns_Rq[0, :21])]
    assert held == [(1, 4)]
    assert np.flatnonzero(columns_Rq[0, 21:]).tolist() == [1 * 3 + 2, 4 * 3 + 2]


def world(seed: int, rows: int, loud: FloatArray, noise: float) -> tuple[FloatArray, FloatArray]:
    draws = np.random.default_rng(seed)
    held_RP = draws.integers(0, 2, size=(rows, len(loud))).astype(np.float64)
    held_RP -= held_RP.mean(axis=0)
    return held_RP, held_RP @ loud + noise * draws.normal(size=rows)


def belief_of(held_RP: FloatArray, reward_R: FloatArray) -> Belief:
    return believe(
        held_RP.T @ held_RP,
        held_RP.T @ reward_R,
        float(reward_R @ reward_R),
        len(reward_R),
        (4, 3, 3, 5, 5),
    )


def test_a_family_without_any_effect_is_shrunk_and_the_others_are_not() -> None:
    loud = np.zeros(20)
    loud[:4] = [1.0, -1.0, 0.7, -0.4]
    belief = belief_of(*world(1, 300, loud, noise=0.3))
    concepts, *others = belief.ridges.tolist()
    assert concepts < 1.0
    assert min(others) > 10 * concepts
    mean_P = belief.mean_from(np.zeros(20))
    assert mean_P[:4] == pytest.approx(loud[:4], abs=0.1)
    least_squares_P = np.linalg.solve(belief.gram, belief.moved)
    assert np.abs(mean_P[4:]).sum() < 0.98 * np.abs(least_squares_P[4:]).sum()
    assert belief.noise == pytest.approx(0.09, rel=0.2)


def test_the_belief_is_the_ridge_regression_at_its_ridges() -> None:
    held_RP, reward_R = world(2, 60, np.linspace(-1, 1, 20), noise=0.5)
    belief = belief_of(held_RP, reward_R)
    kernel_PP = held_RP.T @ held_RP + np.diag(belief.ridge)
    start_P = np.linspace(0, 1, 20)
    moved_P = held_RP.T @ (reward_R - held_RP @ start_P)
    expected_P = start_P + np.linalg.solve(kernel_PP, moved_P)
    assert belief.mean_from(start_P) == pytest.approx(expected_P, abs=1e-10)
    steps_LP = belief.steps(np.eye(20, dtype=np.float32), 0, 20)
    spread_PP = steps_LP.T @ steps_LP
    assert spread_PP == pytest.approx(belief.noise * np.linalg.inv(kernel_PP), abs=1e-7)


def test_the_evidence_is_for_pairs_only_where_they_matter() -> None:
    def gain(loud: FloatArray) -> float:
        held_RP, reward_R = world(5, 200, loud, noise=0.5)
        squares, count = float(reward_R @ reward_R), len(reward_R)
        few_RP = held_RP[:, :10]
        alone = believe(few_RP.T @ few_RP, few_RP.T @ reward_R, squares, count, (4, 3, 3))
        gram_PP, moved_P = held_RP.T @ held_RP, held_RP.T @ reward_R
        start_g = np.concatenate([alone.ridges, np.full(2, FIRST_RIDGE_OF_PAIRS)])
        together = believe(gram_PP, moved_P, squares, count, (4, 3, 3, 5, 5), start_g)
        return together.evidence - alone.evidence

    parts = np.linspace(-1, 1, 20) * (np.arange(20) < 10)
    assert gain(parts) < natural.PAIRS_MUST_GAIN
    assert gain(parts + 0.4 * (np.arange(20) >= 10)) > 10


def test_the_evidence_is_the_rewards_log_probability() -> None:
    """Of y ~ N(0, s2 (I + Z ridge^-1 Z')), but for a constant."""
    evidences, expected = [], []
    for seed in (6, 7):
        held_RP, reward_R = world(seed, 30, np.linspace(-1, 1, 20), noise=0.5)
        belief = belief_of(held_RP, reward_R)
        spread_RR = belief.noise * (np.eye(30) + held_RP / belief.ridge @ held_RP.T)
        misfit = reward_R @ np.linalg.solve(spread_RR, reward_R)
        expected.append(-0.5 * (misfit + np.linalg.slogdet(spread_RR)[1]))
        evidences.append(belief.evidence)
    assert evidences == pytest.approx(expected, abs=1e-8)


def test_the_belief_scales_with_the_rewards() -> None:
    held_RP, reward_R = world(4, 60, np.linspace(-1, 1, 20), noise=0.5)
    plain, scaled = belief_of(held_RP, reward_R), belief_of(held_RP, 7 * reward_R)
    assert scaled.ridges == pytest.approx(plain.ridges, rel=1e-9)
    assert scaled.noise == pytest.approx(49 * plain.noise, rel=1e-9)


def test_the_law_has_the_moments_of_the_draws_best_actions() -> None:
    mean_P = np.random.default_rng(6).normal(size=SPACE.d)
    belief = made(SPACE, mean_P, deviation=1.0)
    explored = thompson.explore(belief, UNIFORM, SPACE, floor=0.02, spread=1.0)
    normals_PL = np.random.default_rng(7).normal(size=(SPACE.d, 20_000))
    found = best_actions((mean_P[:, None] + normals_PL).T, SPACE)
    share_n = np.bincount(found.concepts.ravel(), minlength=SPACE.n) / 20_000
    mu_n = 0.98 * share_n + 0.02 * SPACE.k / SPACE.n
    p_T = 0.98 * np.eye(SPACE.T)[found.template].mean(axis=0) + 0.02 / SPACE.T
    assert policy.inclusion(explored.params, SPACE) == pytest.approx(mu_n, abs=0.05)
    assert policy.template_probabilities(explored.params) == pytest.approx(p_T, abs=0.05)
    actions = [found.action(draw) for draw in range(2000)]
    taken_m = np.mean([np.isin(np.arange(SPACE.m), a.features) for a in actions], axis=0)
    reached_m = policy.feature_probabilities(explored.params, SPACE, actions)
    assert reached_m == pytest.approx(taken_m, abs=0.06)


def test_no_part_becomes_impossible() -> None:
    mean_P = np.linspace(-50, 50, SPACE.d)
    explored = thompson.explore(made(SPACE, mean_P, 0.01), UNIFORM, SPACE, 0.02, 1.0)
    least = 0.02 * SPACE.k / SPACE.n
    assert policy.inclusion(explored.params, SPACE).min() == pytest.approx(least, rel=0.05)
    assert policy.template_probabilities(explored.params).min() >= 0.02 / SPACE.T * 0.99


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("size", [SPACE.d, columns_with_pairs(SPACE)])
def test_the_deployed_action_is_the_best_under_the_mean(seed: int, size: int) -> None:
    mean_P = np.random.default_rng(seed).normal(size=size)
    explored = thompson.explore(made(SPACE, mean_P, 3.0), UNIFORM, SPACE, 0.02, 1.0)
    best = best_actions(mean_P[None], SPACE).action(0)
    assert explored.best == best
    assert policy.greedy(explored.params, SPACE) == best


def test_without_evidence_the_law_is_about_the_reference() -> None:
    reference = Params(np.linspace(-1, 1, 7), np.array([0.8, 0.0, -0.8]), np.zeros(6))
    belief = made(SPACE, np.zeros(SPACE.d), deviation=0.3)
    explored = thompson.explore(belief, reference, SPACE, floor=0.02, spread=1.0)
    wanted_n = policy.inclusion(reference, SPACE)
    assert policy.inclusion(explored.params, SPACE) == pytest.approx(wanted_n, abs=0.06)
    wanted_T = policy.template_probabilities(reference)
    assert policy.template_probabilities(explored.params) == pytest.approx(wanted_T, abs=0.05)
    uniform = thompson.explore(belief, UNIFORM, SPACE, floor=0.02, spread=1.0)
    assert np.abs(policy.inclusion(uniform.params, SPACE) - 2 / 7).max() < 0.05


def test_draws_of_some_columns_are_those_of_all() -> None:
    belief = belief_of(*world(2, 60, np.linspace(-1, 1, 20), noise=0.5))
    normals_LP = np.random.default_rng(9).normal(size=(5, 20)).astype(np.float32)
    whole_LP = belief.steps(normals_LP, 0, 20)
    assert belief.steps(normals_LP, 0, 7) == pytest.approx(whole_LP[:, :7], abs=1e-6)
    assert belief.steps(normals_LP, 7, 20) == pytest.approx(whole_LP[:, 7:], abs=1e-6)


@pytest.mark.parametrize("size", [1, 31, 33, 100, 257])
def test_the_root_is_triangular_and_of_the_inverse(size: int) -> None:
    held = np.random.default_rng(size).normal(size=(size // 2 + 1, size))
    matrix = held.T @ held + 0.05 * np.eye(size)
    root = root_of_inverse(matrix)
    assert np.array_equal(root, np.tril(root))
    assert root @ root.T @ matrix == pytest.approx(np.eye(size), abs=1e-9)


def test_a_fixed_point_that_starts_where_one_ended_stays() -> None:
    held_RP, reward_R = world(4, 400, np.linspace(-1, 1, 20), noise=0.5)
    sums = held_RP.T @ held_RP, held_RP.T @ reward_R, float(reward_R @ reward_R), len(reward_R)
    far = believe(*sums, (4, 3, 3, 5, 5), rounds=40)
    again = believe(*sums, (4, 3, 3, 5, 5), far.ridges, rounds=1)
    assert again.ridges == pytest.approx(far.ridges, rel=0.1)


def test_a_step_repeats_bit_by_bit() -> None:
    belief = made(SPACE, np.sin(np.arange(columns_with_pairs(SPACE))), 1.0)
    first, second = (thompson.explore(belief, UNIFORM, SPACE, 0.02, 1.0) for _ in range(2))
    assert np.array_equal(first.params.flat(), second.params.flat())
