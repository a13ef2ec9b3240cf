"""The whole action law: against enumeration, finite differences and its own draws."""

import itertools
import math
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from orchestrator import policy, subsets
from orchestrator.rollouts import Action, FloatArray, Params
from orchestrator.space import Space


def ring(n: int, k: int, f: int, m: int = 6, templates: int = 3) -> Space:
    """Concept i is related to features i, i + 1, i + 3 (mod m); concepts 0 and 1 are features."""
    related = tuple(tuple(sorted({i % m, (i + 1) % m, (i + 3) % m})) for i in range(n))
    same = tuple(i + 1 if i < 2 else None for i in range(n))
    return Space(n, templates, m, related, same, k, f)


def random_params(space: Space, seed: int = 0, spread: float = 3.0) -> Params:
    flat_d = np.random.default_rng(seed).uniform(-spread / 2, spread / 2, space.d)
    return policy.initial_params(space).unflat(flat_d)


def candidates(space: Space, concepts: Sequence[int]) -> list[int]:
    related = {j for i in concepts for j in space.related[i]}
    return sorted(related - {space.same[i] for i in concepts})


def feature_sets(space: Space, concepts: Sequence[int]) -> list[tuple[int, ...]]:
    found = candidates(space, concepts)
    return list(itertools.combinations(found, min(space.f, len(found))))


def all_actions(space: Space) -> list[Action]:
    return [
        Action(concepts, template, features)
        for concepts in itertools.combinations(range(space.n), space.k)
        for template in range(space.T)
        for features in feature_sets(space, concepts)
    ]


def one_per_set(space: Space) -> list[Action]:
    return list({action.concepts: action for action in all_actions(space)}.values())


def draws(space: Space, params: Params, rows: int, seed: int = 0) -> policy.Draws:
    key = (seed, 0, "test")
    return policy.draw(params, space, policy.uniforms(key, rows, space.uniforms_needed))


def slopes(function: Callable[[Params], FloatArray], params: Params) -> FloatArray:
    """Central differences along the last axis."""
    flat_d, h = params.flat(), 1e-5
    columns = [
        (function(params.unflat(flat_d + move)) - function(params.unflat(flat_d - move))) / (2 * h)
        for move in h * np.eye(len(flat_d))
    ]
    return np.stack(columns, axis=-1)


SPACES = [
    ring(3, 1, 2),
    ring(3, 2, 2),
    ring(5, 2, 2),
    ring(7, 3, 4),
    ring(6, 2, 0),
    ring(4, 2, 9),
    ring(4, 2, 2, templates=1),
    Space(4, 2, 0, ((),) * 4, (None,) * 4, 2, 2),
    Space(4, 2, 4, ((0,), (), (0, 1, 2, 3), (1,)), (0, None, None, None), 2, 2),
]


@pytest.mark.parametrize("space", SPACES)
def test_probabilities_of_all_actions_sum_to_one(space: Space) -> None:
    log_prob_R = policy.log_prob(random_params(space), space, all_actions(space))
    assert np.exp(log_prob_R).sum() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("space", SPACES)
def test_entropy_and_kl_equal_enumeration_at_one_visit_per_set(space: Space) -> None:
    """Under a uniform law over sets, one visit per set makes the features' mean exact."""
    params, reference = random_params(space, 0), random_params(space, 1)
    params = Params(np.zeros(space.n), params.phi, params.eta)
    actions = all_actions(space)
    log_p, log_q = (policy.log_prob(law, space, actions) for law in (params, reference))
    p = np.exp(log_p)
    visits = one_per_set(space)
    assert policy.entropy(params, space, visits).value == pytest.approx(-p @ log_p, abs=1e-10)
    assert policy.kl(params, reference, space, visits).value == pytest.approx(
        p @ (log_p - log_q), abs=1e-10
    )


@pytest.mark.parametrize("space", SPACES)
def test_score_is_the_gradient_of_log_prob(space: Space) -> None:
    params, actions = random_params(space), all_actions(space)
    expected = slopes(lambda law: policy.log_prob(law, space, actions), params)
    assert policy.score(params, space, actions) == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize("space", SPACES)
def test_score_has_mean_zero_and_the_stated_variance(space: Space) -> None:
    params, actions = random_params(space), all_actions(space)
    p_R = np.exp(policy.log_prob(params, space, actions))
    score_Rd = policy.score(params, space, actions)
    exact_d = p_R @ score_Rd**2
    rows = space.n + space.T
    assert p_R @ score_Rd == pytest.approx(np.zeros(space.d), abs=1e-12)
    stated_d = policy.score_variance(params, space, actions)
    assert stated_d[:rows] == pytest.approx(exact_d[:rows], abs=1e-12)
    uniform = Params(np.zeros(space.n), params.phi, params.eta)
    uniform_R = np.exp(policy.log_prob(uniform, space, actions))
    exact_m = (uniform_R @ policy.score(uniform, space, actions) ** 2)[rows:]
    visited_d = policy.score_variance(uniform, space, one_per_set(space))
    assert visited_d[rows:] == pytest.approx(exact_m, abs=1e-12)


@pytest.mark.parametrize("space", SPACES)
def test_gradients_of_entropy_and_kl_agree_with_finite_differences(space: Space) -> None:
    params, reference = random_params(space, 0), random_params(space, 1)
    visits = draws(space, params, 20).actions

    def entropy(law: Params) -> FloatArray:
        return np.array(policy.entropy(law, space, visits).value)

    def kl(law: Params) -> FloatArray:
        return np.array(policy.kl(law, reference, space, visits).value)

    assert policy.entropy(params, space, visits).gradient_d == pytest.approx(
        slopes(entropy, params), abs=1e-8
    )
    assert policy.kl(params, reference, space, visits).gradient_d == pytest.approx(
        slopes(kl, params), abs=1e-8
    )


def test_feature_probabilities_equal_enumeration_and_the_given_sets() -> None:
    space = ring(6, 2, 2)
    params, actions = random_params(space), all_actions(space)
    p_R = np.exp(policy.log_prob(params, space, actions))
    taken_Rm = np.array([[j in a.features for j in range(space.m)] for a in actions], dtype=float)
    found_m = policy.feature_probabilities(params, space)
    assert found_m == pytest.approx(p_R @ taken_Rm, abs=1e-12)
    one_set = [action for action in actions if action.concepts == (1, 4)]
    given_m = policy.feature_probabilities(params, space, one_set)
    share_R = np.array([1.0 if a.concepts == (1, 4) else 0.0 for a in actions]) * p_R
    assert given_m == pytest.approx(share_R @ taken_Rm / share_R.sum(), abs=1e-12)


def test_feature_probabilities_of_a_large_space_are_estimated_from_fixed_draws() -> None:
    space = ring(40, 6, 2, m=12)
    params = random_params(space)
    first, second = (policy.feature_probabilities(params, space) for _ in range(2))
    assert np.array_equal(first, second)
    assert first.sum() == pytest.approx(space.f, abs=1e-12)


def test_draws_follow_the_law_by_chi_square() -> None:
    space, rows = ring(4, 2, 2, templates=2), 40_000
    params, actions = random_params(space, 3), all_actions(space)
    counted = Counter(draws(space, params, rows, seed=11).actions)
    assert set(counted) <= set(actions)
    expected_R = rows * np.exp(policy.log_prob(params, space, actions))
    observed_R = np.array([counted[action] for action in actions], dtype=np.float64)
    statistic = float(((observed_R - expected_R) ** 2 / expected_R).sum())
    degrees = len(actions) - 1
    # Wilson & Hilferty: the 99.9% point of chi-square.
    limit = degrees * (1 - 2 / (9 * degrees) + 3.09 * math.sqrt(2 / (9 * degrees))) ** 3
    assert statistic < limit


def test_draws_carry_their_log_probabilities_and_ascending_indices() -> None:
    space = ring(7, 3, 2)
    params = random_params(space)
    actions, log_prob_G = draws(space, params, 50)
    assert np.array_equal(log_prob_G, policy.log_prob(params, space, actions))
    for action in actions:
        assert list(action.concepts) == sorted(set(action.concepts))
        assert list(action.features) == sorted(set(action.features))


def test_a_slot_is_drawn_alike_however_many_slots_there_are() -> None:
    few = policy.uniforms((7, 3, "e017"), 2, 5)
    many = policy.uniforms((7, 3, "e017"), 64, 5)
    assert np.array_equal(few, many[:2])
    space = ring(7, 3, 2)
    assert (
        draws(space, random_params(space), 3).actions
        == draws(space, random_params(space), 9).actions[:3]
    )


def test_uniforms_differ_by_seed_step_id_and_slot_and_never_change() -> None:
    keys = [(7, 3, "e017"), (8, 3, "e017"), (7, 4, "e017"), (7, 3, "e018"), (7, 31, "e017")]
    rows = [tuple(row) for key in keys for row in policy.uniforms(key, 3, 12).tolist()]
    numbers = [number for row in rows for number in row]
    assert len(set(numbers)) == len(numbers)
    assert all(0 <= number < 1 for number in numbers)
    assert policy.uniforms((1, 2, "x"), 1, 3)[0].tolist() == [
        0.9441093585917577,
        0.23237489764804153,
        0.2813513933181946,
    ]


def test_a_chosen_concept_is_never_its_own_feature() -> None:
    space = ring(5, 2, 2)
    for action in draws(space, random_params(space), 200).actions:
        assert not {space.same[i] for i in action.concepts} & set(action.features)


def test_few_candidates_are_all_taken() -> None:
    space = Space(3, 1, 3, ((0, 1), (1,), ()), (None, None, 0), 2, 2)
    taken = {a.concepts: a.features for a in draws(space, random_params(space), 100).actions}
    assert taken == {(0, 1): (0, 1), (0, 2): (1,), (1, 2): (1,)}


def test_greedy_takes_the_best_and_breaks_ties_by_the_lowest_index() -> None:
    space = ring(5, 2, 2)
    uniform = policy.initial_params(space)
    assert policy.greedy(uniform, space) == Action((0, 1), 0, (0, 3))
    params = Params(np.array([0.0, 2, 0, 1, 0]), np.array([0.0, 1, 1]), np.arange(6.0))
    assert candidates(space, (1, 3)) == [0, 1, 3, 4]
    assert policy.greedy(params, space) == Action((1, 3), 1, (3, 4))
    sharp = params.unflat(40 * params.flat())
    assert set(draws(space, sharp, 20).actions) <= {
        Action((1, 3), template, (3, 4)) for template in (1, 2)
    }


def test_initial_weights_become_inclusion_probabilities() -> None:
    weights = [0.9, 0.5, 0.3, 0.2, 0.1]
    space = ring(5, 2, 2)
    params = policy.initial_params(space, weights)
    assert (1 / (1 + np.exp(-params.theta))).sum() == pytest.approx(2, abs=1e-12)
    assert policy.inclusion(params, space) == pytest.approx(weights, abs=0.08)
    exact = subsets.theta_from_inclusion(np.array(weights), 2)
    exact_params = Params(exact, params.phi, params.eta)
    assert policy.inclusion(exact_params, space) == pytest.approx(weights, abs=1e-12)


def test_without_weights_every_concept_is_asked_for_alike() -> None:
    space = ring(5, 2, 2)
    params = policy.initial_params(space)
    assert policy.inclusion(params, space) == pytest.approx(np.full(5, 0.4), abs=1e-15)
    assert policy.template_probabilities(params) == pytest.approx(np.full(3, 1 / 3), abs=1e-15)


@pytest.mark.parametrize("weights", [[0.5], [0.5, 0.5, 0.5, 0.5, 1.0], [0.0, 0.5, 0.5, 0.5, 0.5]])
def test_weights_that_are_no_probabilities_are_refused(weights: list[float]) -> None:
    with pytest.raises(ValueError, match="5 numbers between 0 and 1"):
        policy.initial_params(ring(5, 2, 2), weights)


def test_centring_does_not_change_the_law() -> None:
    space = ring(6, 3, 2)
    params, actions = random_params(space), all_actions(space)
    centred = policy.centred(params)
    assert centred.theta.mean() == pytest.approx(0, abs=1e-15)
    assert policy.log_prob(centred, space, actions) == pytest.approx(
        policy.log_prob(params, space, actions), abs=1e-12
    )


def test_large_and_steep_policies_stay_finite() -> None:
    space = ring(1000, 8, 2, m=500, templates=10)
    params = random_params(space, spread=20.0)
    actions, log_prob_G = draws(space, params, 16)
    assert np.isfinite(log_prob_G).all()
    assert np.isfinite(policy.score(params, space, actions)).all()
    assert abs(policy.inclusion(params, space).sum() - 8) < 1e-12
    for measured in (
        policy.entropy(params, space, actions),
        policy.kl(params, random_params(space, 1, 20.0), space, actions),
    ):
        assert math.isfinite(measured.value)
        assert measured.value > 0
        assert np.isfinite(measured.gradient_d).all()


@pytest.mark.parametrize(
    "action",
    [
        Action((0,), 0, (0, 2)),
        Action((0, 3), 0, (0,)),
        Action((0, 3), 0, (0, 2)),
        Action((0, 3), -1, (0, 3)),
    ],
)
def test_an_action_of_another_domain_is_refused(action: Action) -> None:
    space = ring(5, 2, 2)
    with pytest.raises(ValueError, match="is no action of this domain"):
        policy.log_prob(policy.initial_params(space), space, [action])
