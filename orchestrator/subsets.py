"""Conditional Poisson sampling: the maximum-entropy law over the k-subsets of n things.

    P(S) = exp(sum_{i in S} logit_i) / e_k(exp logit)      e_k: k-th elementary symmetric polynomial

Hajek 1981; Chen, Dempster & Liu 1994 ("conditional Bernoulli"). Everything is O(n k) and a sum of
positive terms, so that nothing cancels; weights are taken relative to the mean of the k largest
logits, which keeps e_k near 1 and the tables finite up to k * spread of about 2,800.

Every function works on rows: ``logits_Rn`` holds R laws of the same k, and a logit of -inf
excludes its index from that row. Every row needs at least k finite logits, else ValueError; logits
so far apart that the tables overflow are RunFailed.
"""

from typing import NamedTuple

import numpy as np

from orchestrator.rollouts import FloatArray, IntArray
from shared.errors import RunFailed

#: Log-odds that are no closer than this are brought closer, by steps of these lengths in turn.
CLOSE, STEPS = 1e-13, (0.5, 1.0)


class _Tables(NamedTuple):
    """w = exp(logit - shift) (R, n); shift (R,); suffix[r, :, i] = e_r(w[i:]) (k + 1, R, n + 1)."""

    weights: FloatArray
    shift: FloatArray
    suffix: FloatArray


def log_z(logits_Rn: FloatArray, k: int) -> FloatArray:
    """log e_k(exp logits), (R,)."""
    return _log_z(_tables(logits_Rn, k), k)


def inclusion(logits_Rn: FloatArray, k: int) -> FloatArray:
    """mu_i = P(i in S), (R, n), by leave-one-out as prefix times suffix: never by division."""
    return _inclusion(_tables(logits_Rn, k), k)


def covariance_times(logits_Rn: FloatArray, k: int, vector_Rn: FloatArray) -> FloatArray:
    """Cov(1_S) v, (R, n), without the matrix: Cov(1_i, v(S)) with v(S) = sum_{j in S} v_j.

    v is shifted to be positive (|S| is constant, so a shift has no covariance): the tables of
    sums of w(S) v(S) then add positive terms only. Entries of excluded indices are ignored.
    """
    finite_Rn = np.isfinite(logits_Rn)
    lowest_R1 = np.where(finite_Rn, vector_Rn, np.inf).min(axis=1, keepdims=True)
    values_Rn = np.where(finite_Rn, vector_Rn - lowest_R1, 0.0)
    weights_Rn, _, suffix_kRn = _tables(logits_Rn, k)
    prefix_kRn = _prefix(weights_Rn, k)
    valued_suffix_kRn = _valued(weights_Rn, values_Rn, suffix_kRn)
    valued_prefix_kRn = _valued(weights_Rn[:, ::-1], values_Rn[:, ::-1], prefix_kRn[:, :, ::-1])[
        :, :, ::-1
    ]
    without_Rn = _product(prefix_kRn, suffix_kRn, k - 1)
    joint_Rn = (
        _product(valued_prefix_kRn, suffix_kRn, k - 1)
        + _product(prefix_kRn, valued_suffix_kRn, k - 1)
        + values_Rn * without_Rn
    )
    share_Rn = weights_Rn / suffix_kRn[k, :, :1]
    mu_Rn = share_Rn * without_Rn
    mean_R1 = (mu_Rn * values_Rn).sum(axis=1, keepdims=True)
    return np.asarray(share_Rn * joint_Rn - mu_Rn * mean_R1)


def kl(logits_Rn: FloatArray, reference_Rn: FloatArray, k: int) -> FloatArray:
    """KL(logits || reference), (R,), in nats; both exclude the same indices.

    Its gradient in the logits is ``covariance_times(logits, k, difference(logits, reference))``.
    """
    tables = _tables(logits_Rn, k)
    moved_R = (_inclusion(tables, k) * difference(logits_Rn, reference_Rn)).sum(axis=1)
    return np.asarray(np.maximum(moved_R - _log_z(tables, k) + log_z(reference_Rn, k), 0.0))


def difference(logits_Rn: FloatArray, reference_Rn: FloatArray) -> FloatArray:
    """logits - reference, (R, n), with 0 where the index is excluded from both."""
    return np.subtract(
        logits_Rn, reference_Rn, out=np.zeros_like(logits_Rn), where=np.isfinite(logits_Rn)
    )


def draw(logits_Rn: FloatArray, k: int, uniforms_Rk: FloatArray) -> IntArray:
    """One k-subset per row of uniforms in [0, 1): ascending indices (R, k). Exact, k log n a row.

    With r still to choose from i on, the next index J has P(J >= j) = e_r(w[j:]) / e_r(w[i:]).
    One row of logits serves all rows of uniforms.
    """
    rows = len(uniforms_Rk)
    suffix_kRn = _tables(logits_Rn, k).suffix
    law_R = np.arange(rows) if len(logits_Rn) > 1 else np.zeros(rows, dtype=np.int64)
    start_R = np.zeros(rows, dtype=np.int64)
    drawn_Rk = np.empty((rows, k), dtype=np.int64)
    for position in range(k):
        tail_Rn = suffix_kRn[k - position]
        target_R = (1.0 - uniforms_Rk[:, position]) * tail_Rn[law_R, start_R]
        drawn_Rk[:, position] = _last_at_least(tail_Rn, law_R, start_R, target_R)
        start_R = drawn_Rk[:, position] + 1
    return drawn_Rk


def theta_from_inclusion(mu_n: FloatArray, k: int) -> FloatArray:
    """The logits theta (n,) whose law has the inclusion probabilities mu (0 < mu < 1, sum k).

    The fixed point of Chen, Dempster & Liu 1994, stepped in log-odds instead of log mu: their step
    shrinks the error by max(mu) only. The eigenvalues of Cov(1_S) / Var(1_S) lie in [0, 2], mostly
    near 1: half steps and whole ones in turn. Raises ValueError if mu is not such a vector.
    """
    if np.any(mu_n <= 0) or np.any(mu_n >= 1) or not np.isclose(mu_n.sum(), k, rtol=0, atol=1e-9):
        raise ValueError(
            f"inclusion probabilities must lie in (0, 1) and sum to k = {k}, "
            f"not {mu_n.sum()!r}: rescale them"
        )
    target_n = log_odds(mu_n)
    theta_n = target_n
    for step in STEPS * 32:
        reached_n = np.clip(inclusion(theta_n[None], k)[0], 1e-300, 1 - 2**-53)
        away_n = target_n - log_odds(reached_n)
        theta_n = theta_n + step * away_n
        if np.abs(away_n).max() < CLOSE:
            break
    return theta_n


def theta_from_weights(weights_n: FloatArray, k: int) -> FloatArray:
    """logit(w) (n,), shifted so that sum sigmoid(theta) = k, for 0 < w < 1 and 1 <= k < n.

    sigmoid(theta_i) is then near the inclusion probability: for weights all over [0.1, 0.95] the
    largest error is about 0.06 at n = 5, 0.03 at n = 20 and 0.003 at n = 200
    (``theta_from_inclusion`` has none). The shift is found by bisection of a monotone sum.
    """
    logits_n = log_odds(weights_n)
    share = log_odds(np.array(k / len(logits_n)))
    low, high = logits_n.min() - share, logits_n.max() - share
    for _ in range(100):
        shift = (low + high) / 2
        if (1 / (1 + np.exp(shift - logits_n))).sum() > k:
            low = shift
        else:
            high = shift
    return np.asarray(logits_n - (low + high) / 2)


def log_odds(probability_n: FloatArray) -> FloatArray:
    """log(p / (1 - p)), elementwise, 0 < p < 1."""
    return np.asarray(np.log(probability_n) - np.log1p(-probability_n))


def _tables(logits_Rn: FloatArray, k: int) -> _Tables:
    n = logits_Rn.shape[1]
    if not 1 <= k <= n:
        raise ValueError(f"a subset of {n} things has between 1 and {n} members, not {k}")
    shift_R = np.partition(logits_Rn, n - k, axis=1)[:, n - k :].mean(axis=1)
    if not np.all(np.isfinite(shift_R)):
        raise ValueError(
            f"every law needs at least k = {k} finite logits and none that is inf or nan"
        )
    with np.errstate(over="ignore"):
        weights_Rn = np.exp(logits_Rn - shift_R[:, None])
        suffix_kRn = _suffix(weights_Rn, k)
    if not np.all(np.isfinite(suffix_kRn[:, :, 0])):
        raise RunFailed(
            f"the probabilities of {k} out of {n} can no longer be computed: the logits have moved"
            " too far apart for so many; lower concepts_per_prompt, max_logit or learning_rate"
        )
    return _Tables(weights_Rn, shift_R, suffix_kRn)


def _log_z(tables: _Tables, k: int) -> FloatArray:
    return np.asarray(np.log(tables.suffix[k, :, 0]) + k * tables.shift)


def _inclusion(tables: _Tables, k: int) -> FloatArray:
    without_Rn = _product(_prefix(tables.weights, k), tables.suffix, k - 1)
    return np.asarray(tables.weights * without_Rn / tables.suffix[k, :, :1])


def _suffix(weights_Rn: FloatArray, k: int) -> FloatArray:
    rows, n = weights_Rn.shape
    suffix_kRn = np.zeros((k + 1, rows, n + 1))
    suffix_kRn[0] = 1.0
    for r in range(1, k + 1):
        terms_Rn = weights_Rn * suffix_kRn[r - 1, :, 1:]
        suffix_kRn[r, :, :n] = terms_Rn[:, ::-1].cumsum(axis=1)[:, ::-1]
    return suffix_kRn


def _prefix(weights_Rn: FloatArray, k: int) -> FloatArray:
    """``[r, :, i]`` = e_r(w[:i]), (k + 1, R, n + 1)."""
    return _suffix(weights_Rn[:, ::-1], k)[:, :, ::-1]


def _valued(weights_Rn: FloatArray, values_Rn: FloatArray, suffix_kRn: FloatArray) -> FloatArray:
    """``[r, :, i]`` = sum over the r-subsets A of [i:] of w(A) v(A), (k + 1, R, n + 1)."""
    n = weights_Rn.shape[1]
    valued_kRn = np.zeros_like(suffix_kRn)
    for r in range(1, len(suffix_kRn)):
        inner_Rn = valued_kRn[r - 1, :, 1:] + values_Rn * suffix_kRn[r - 1, :, 1:]
        valued_kRn[r, :, :n] = (weights_Rn * inner_Rn)[:, ::-1].cumsum(axis=1)[:, ::-1]
    return valued_kRn


def _product(prefix_kRn: FloatArray, suffix_kRn: FloatArray, size: int) -> FloatArray:
    """Sum over the subsets of that size that leave index i out, for every i: (R, n)."""
    total_Rn = np.zeros((prefix_kRn.shape[1], prefix_kRn.shape[2] - 1))
    for r in range(size + 1):
        total_Rn += prefix_kRn[r, :, :-1] * suffix_kRn[size - r, :, 1:]
    return total_Rn


def _last_at_least(
    tail_Rn: FloatArray, law_R: IntArray, start_R: IntArray, target_R: FloatArray
) -> IntArray:
    """The largest j with tail[j] >= target, by bisection: tail falls to 0 < target at its end."""
    low_R, high_R = start_R, np.full_like(start_R, tail_Rn.shape[1] - 1)
    while np.any(high_R - low_R > 1):
        middle_R = (low_R + high_R) // 2
        reached_R = tail_Rn[law_R, middle_R] >= target_R
        low_R = np.where(reached_R, middle_R, low_R)
        high_R = np.where(reached_R, high_R, middle_R)
    return low_R
