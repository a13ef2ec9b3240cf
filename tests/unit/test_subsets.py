"""The law over k-subsets: against enumeration, finite differences and its own draws."""

import itertools
import math
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator import subsets
from orchestrator.rollouts import FloatArray


class Enumerated(NamedTuple):
    """Every k-subset as a row of 0 and 1, and its probability."""

    members: FloatArray
    probabilities: FloatArray
    log_z: float


def enumerate_subsets(logits_n: FloatArray, k: int) -> Enumerated:
    n = len(logits_n)
    members = np.array(
        [[float(i in chosen) for i in range(n)] for chosen in itertools.combinations(range(n), k)]
    )
    energies = members @ np.where(np.isfinite(logits_n), logits_n, -1e9)
    log_z = energies.max() + math.log(np.exp(energies - energies.max()).sum())
    return Enumerated(members, np.exp(energies - log_z), float(log_z))


def random_logits(n: int, spread: float = 3.0, seed: int = 0) -> FloatArray:
    return np.random.default_rng(seed).uniform(-spread / 2, spread / 2, n)


def log_probabilities(logits_n: FloatArray, members: FloatArray, k: int) -> FloatArray:
    return np.asarray(members @ logits_n - subsets.log_z(logits_n[None], k))


CASES = [(3, 1), (3, 2), (4, 2), (5, 2), (6, 3), (7, 4), (7, 6), (12, 5)]


@pytest.mark.parametrize(("n", "k"), CASES)
def test_probabilities_of_all_subsets_sum_to_one(n: int, k: int) -> None:
    logits_n = random_logits(n)
    members = enumerate_subsets(logits_n, k).members
    assert np.exp(log_probabilities(logits_n, members, k)).sum() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize(("n", "k"), CASES)
def test_log_z_inclusion_and_kl_equal_enumeration(n: int, k: int) -> None:
    logits_n, reference_n = random_logits(n, 8.0), random_logits(n, 4.0, seed=1)
    ours, theirs = enumerate_subsets(logits_n, k), enumerate_subsets(reference_n, k)
    expected_kl = ours.probabilities @ np.log(ours.probabilities / theirs.probabilities)
    assert subsets.log_z(logits_n[None], k)[0] == pytest.approx(ours.log_z, abs=1e-10)
    assert subsets.inclusion(logits_n[None], k)[0] == pytest.approx(
        ours.probabilities @ ours.members, abs=1e-12
    )
    assert subsets.kl(logits_n[None], reference_n[None], k)[0] == pytest.approx(
        expected_kl, abs=1e-10
    )


@pytest.mark.parametrize(("n", "k"), CASES)
def test_covariance_times_a_vector_equals_enumeration(n: int, k: int) -> None:
    logits_n, vector_n = random_logits(n, 6.0), random_logits(n, 10.0, seed=2)
    law = enumerate_subsets(logits_n, k)
    centred = law.members - law.probabilities @ law.members
    expected = (centred * law.probabilities[:, None]).T @ (centred @ vector_n)
    assert subsets.covariance_times(logits_n[None], k, vector_n[None])[0] == pytest.approx(
        expected, abs=1e-12
    )


def test_rows_with_excluded_indices_are_laws_over_the_rest() -> None:
    logits_n = random_logits(6)
    masks = np.array([[1, 1, 0, 1, 1, 1], [0, 1, 1, 0, 1, 0]], dtype=bool)
    logits_Rn = np.where(masks, logits_n, -np.inf)
    vector_Rn = np.array([logits_n, logits_n])
    mu_Rn = subsets.inclusion(logits_Rn, 2)
    covariance_Rn = subsets.covariance_times(logits_Rn, 2, vector_Rn)
    for row, mask in enumerate(masks):
        alone = logits_n[mask][None]
        assert mu_Rn[row, mask] == pytest.approx(subsets.inclusion(alone, 2)[0], abs=1e-14)
        assert covariance_Rn[row, mask] == pytest.approx(
            subsets.covariance_times(alone, 2, alone)[0], abs=1e-14
        )
        assert not mu_Rn[row, ~mask].any()
        assert not covariance_Rn[row, ~mask].any()


def test_score_is_the_gradient_of_the_log_probability() -> None:
    logits_n, k, h = random_logits(7, 6.0), 3, 1e-5
    members = enumerate_subsets(logits_n, k).members
    score = members - subsets.inclusion(logits_n[None], k)
    for i, step_n in enumerate(h * np.eye(7)):
        up = log_probabilities(logits_n + step_n, members, k)
        down = log_probabilities(logits_n - step_n, members, k)
        assert score[:, i] == pytest.approx((up - down) / (2 * h), abs=1e-8)


def test_large_and_steep_laws_stay_finite_and_inclusion_sums_to_k() -> None:
    logits_n = random_logits(1000, spread=20.0)
    mu_n = subsets.inclusion(logits_n[None], 8)[0]
    assert abs(mu_n.sum() - 8) < 1e-12
    assert np.all((mu_n > 0) & (mu_n < 1))
    assert np.isfinite(subsets.log_z(logits_n[None], 8)).all()
    assert np.isfinite(subsets.covariance_times(logits_n[None], 8, logits_n[None])).all()
    drawn = subsets.draw(logits_n[None], 8, np.random.default_rng(0).random((500, 8)))
    assert np.all(np.diff(drawn, axis=1) > 0)


@pytest.mark.parametrize("k", [1, 8, 32])
def test_one_group_of_logits_far_above_the_rest_neither_overflows_nor_vanishes(k: int) -> None:
    logits_n = np.where(np.arange(100) < k // 2, 40.0, 0.0)
    mu_n = subsets.inclusion(logits_n[None], k)[0]
    assert abs(mu_n.sum() - k) < 1e-11
    assert mu_n[: k // 2] == pytest.approx(1, abs=1e-12)


@settings(deadline=None, max_examples=60)
@given(
    st.integers(2, 9).flatmap(
        lambda n: st.tuples(
            st.lists(st.floats(-15, 15), min_size=n, max_size=n),
            st.integers(1, n),
            st.floats(-50, 50),
        )
    )
)
def test_the_law_does_not_change_under_a_shift(case: tuple[list[float], int, float]) -> None:
    logits, k, shift = case
    logits_1n = np.array([logits])
    moved = subsets.inclusion(logits_1n + shift, k)
    assert moved == pytest.approx(subsets.inclusion(logits_1n, k), abs=1e-9)
    assert moved.sum() == pytest.approx(k, abs=1e-12)


def chi_square(observed: FloatArray, expected: FloatArray) -> float:
    return float(((observed - expected) ** 2 / expected).sum())


def test_draws_follow_the_law_by_chi_square() -> None:
    logits_n, k, rows = random_logits(6, 4.0), 3, 40_000
    law = enumerate_subsets(logits_n, k)
    drawn = subsets.draw(logits_n[None], k, np.random.default_rng(7).random((rows, k)))
    codes = (2**drawn).sum(axis=1)
    expected_codes = (law.members * 2 ** np.arange(6)).sum(axis=1)
    observed = np.array([(codes == code).sum() for code in expected_codes], dtype=np.float64)
    # 19 degrees of freedom: 99.9% of samples lie below 43.8.
    assert observed.sum() == rows
    assert chi_square(observed, rows * law.probabilities) < 43.8


def test_draws_with_a_law_per_row_follow_their_own_law() -> None:
    logits_Rn = np.where(np.arange(5) == 2, -np.inf, random_logits(5, 4.0))
    rows = np.repeat([logits_Rn, np.zeros(5)], 10_000, axis=0)
    drawn = subsets.draw(rows, 2, np.random.default_rng(3).random((20_000, 2)))
    frequencies = [np.bincount(half.ravel(), minlength=5) / 10_000 for half in np.split(drawn, 2)]
    assert frequencies[0] == pytest.approx(subsets.inclusion(logits_Rn[None], 2)[0], abs=0.02)
    assert frequencies[1] == pytest.approx(np.full(5, 0.4), abs=0.02)
    assert frequencies[0][2] == 0


def test_the_smallest_and_largest_uniforms_draw_valid_subsets() -> None:
    logits_n = np.array([[20.0, -np.inf, -20.0, 0.0, -np.inf]])
    extremes = np.array([[0.0, 0.0], [1 - 2**-53, 1 - 2**-53], [0.0, 1 - 2**-53]])
    for row in subsets.draw(logits_n, 2, extremes):
        assert row[0] < row[1]
        assert set(row.tolist()) <= {0, 2, 3}


def test_logits_are_found_from_their_inclusion_probabilities() -> None:
    for n, k, spread in ((2, 1, 8.0), (5, 2, 12.0), (20, 2, 8.0), (200, 5, 8.0), (6, 5, 8.0)):
        theta_n = random_logits(n, spread, seed=n)
        mu_n = subsets.inclusion(theta_n[None], k)[0]
        found_n = subsets.theta_from_inclusion(mu_n, k)
        assert subsets.inclusion(found_n[None], k)[0] == pytest.approx(mu_n, abs=1e-12)
        assert found_n - found_n.mean() == pytest.approx(theta_n - theta_n.mean(), abs=1e-6)


@pytest.mark.parametrize("mu", [[0.5, 0.5, 0.5], [1.0, 0.5, 0.5], [0.0, 1.5, 0.5]])
def test_impossible_inclusion_probabilities_are_refused(mu: list[float]) -> None:
    with pytest.raises(ValueError, match=r"sum to k = 2"):
        subsets.theta_from_inclusion(np.array(mu), 2)


def test_laws_without_enough_finite_logits_are_refused() -> None:
    with pytest.raises(ValueError, match="at least k = 2 finite logits"):
        subsets.log_z(np.array([[0.0, -np.inf, -np.inf]]), 2)
    with pytest.raises(ValueError, match="between 1 and 3 members"):
        subsets.log_z(np.zeros((1, 3)), 4)
