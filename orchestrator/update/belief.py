"""What the sums say about the worth of every part: a Gaussian, with a ridge for each family.

    w ~ N(mean, s2 K^-1)      K = A + diag(ridge)      mean = K^-1 b
    known_g  = sum_{i in g} (1 - ridge_g (K^-1)_ii)                       how much g is determined
    s2       = (c - 2 b'mean + mean'A mean) / (N - sum known)
    ridge_g <- s2 (known_g + WEIGHT) / (sum_{i in g} mean_i^2 + WEIGHT SHARE_g c / N)

Concepts, templates, features, pairs of concepts, and concept by template are families: each has its
own prior variance s2 / ridge_g, raised to the largest evidence by MacKay's fixed point. A family
that matters little is shrunk and costs the others little. WEIGHT effects of variance SHARE c / N
are what a family is believed to hold before any reward. Everything scales with the rewards: there
is a prior in their unit, never a number of ours.

Sources: MacKay 1992 (evidence, the fixed point), Tipping 2001 (a ridge for each coefficient: left
out, it is too sure of itself at a hundred calls). Left out too: eigenvalues (several ridges have no
common basis), so one update costs ``ROUNDS`` inverses.

Arrays are named with their axes: P columns, g families, L draws.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from orchestrator.rollouts import FloatArray, IntArray

#: Steps of the fixed point; for pairs, which start at the ridges of the parts alone, two do.
ROUNDS, ROUNDS_OF_PAIRS = 4, 2
#: The prior of the families' variances: how many effects it counts for, and of which share of the
#: rewards' variance each is.
WEIGHT = 2.0
SHARES = (0.1, 0.1, 0.1, 0.02, 0.02)
#: Where it starts, and how far a ridge may go. A column's square sum grows by up to 1/4 a call.
FIRST_RIDGE, FIRST_RIDGE_OF_PAIRS, LEAST_RIDGE, MOST_RIDGE = 4.0, 12.0, 0.05, 1e4
#: The noise is at least this share of the rewards' variance: below, it is rounding.
NOISE_FLOOR = 1e-12


class Belief(NamedTuple):
    """A Gaussian over worths. Made by ``believe``, read by ``thompson``."""

    #: A and b, of the statistics.
    gram: FloatArray
    moved: FloatArray
    #: K^-1, (P, P).
    inverse: FloatArray
    #: By family, and by column (P,).
    ridges: FloatArray
    ridge: FloatArray
    #: Variance of a reward that no part explains.
    noise: float
    #: Degrees of freedom that the noise was estimated with.
    freedom: float
    #: How well the families explain the rewards: the log of their probability, a constant apart.
    evidence: float

    def kept(self) -> Mapping[str, FloatArray]:
        """What ``recalled`` reads."""
        return {
            "ridges": self.ridges,
            "noise": np.array(self.noise),
            "freedom": np.array(self.freedom),
        }

    def mean_from(self, start_P: FloatArray) -> FloatArray:
        """The mean, if before any reward it is ``start_P``."""
        return np.asarray(start_P + self.inverse @ (self.moved - self.gram @ start_P))

    def steps(self, normals_PL: FloatArray) -> FloatArray:
        """Draws around the mean, (P, L), from standard normal numbers."""
        root_PP = np.linalg.cholesky(self.noise * self.inverse)
        return np.asarray(root_PP @ normals_PL)


def believe(
    gram: FloatArray,
    moved: FloatArray,
    squares: float,
    count: float,
    families: Sequence[int],
    alone: FloatArray | None = None,
) -> Belief:
    """The belief at the families' best ridges; ``families`` are their sizes, in column order.

    ``gram``, ``moved``, ``squares`` and ``count`` are A, b, c and N of the regression; c > 0. With
    pairs, the fixed point starts at ``alone``, the ridges of the belief in the parts alone.
    """
    family_P = np.repeat(np.arange(len(families)), families)
    prior_g = WEIGHT * np.array(SHARES[: len(families)]) * squares / count
    ridge_g, rounds = np.full(len(families), FIRST_RIDGE), ROUNDS
    if alone is not None:
        ridge_g[: len(alone)], ridge_g[len(alone) :] = alone, FIRST_RIDGE_OF_PAIRS
        rounds = ROUNDS_OF_PAIRS
    inverse_PP, noise, freedom = _inverse(gram, ridge_g[family_P]), squares / count, count
    for _ in range(rounds):
        mean_P = inverse_PP @ moved
        left_P = ridge_g[family_P] * np.diag(inverse_PP)
        known_g = _summed(1 - left_P, family_P, len(families))
        residual = squares - 2 * moved @ mean_P + mean_P @ gram @ mean_P
        freedom = max(count - float(known_g.sum()), 1.0)
        noise = max(float(residual), NOISE_FLOOR * squares) / freedom
        size_g = _summed(mean_P**2, family_P, len(families))
        ridge_g = np.clip(noise * (known_g + WEIGHT) / (size_g + prior_g), LEAST_RIDGE, MOST_RIDGE)
        inverse_PP = _inverse(gram, ridge_g[family_P])
    ridge_P = ridge_g[family_P]
    mean_P = inverse_PP @ moved
    # The residual and the ridge's penalty: c - b'K^-1 b.
    misfit = max(squares - float(moved @ mean_P), NOISE_FLOOR * squares)
    complexity = float(np.log(ridge_P).sum() + np.linalg.slogdet(inverse_PP)[1])
    evidence = -0.5 * (count * math.log(noise) + misfit / noise - complexity)
    return Belief(gram, moved, inverse_PP, ridge_g, ridge_P, noise, freedom, evidence)


def recalled(
    gram: FloatArray,
    moved: FloatArray,
    families: Sequence[int],
    kept: Mapping[str, FloatArray],
) -> Belief | None:
    """The belief in the same sums again, without the fixed point; None if nothing was kept.

    Its evidence is not known any more: NaN.
    """
    if "ridges" not in kept:
        return None
    ridge_P = np.repeat(kept["ridges"], families)
    inverse_PP = _inverse(gram, ridge_P)
    noise, freedom = float(kept["noise"]), float(kept["freedom"])
    return Belief(gram, moved, inverse_PP, kept["ridges"], ridge_P, noise, freedom, math.nan)


def _inverse(gram: FloatArray, ridge_P: FloatArray) -> FloatArray:
    return np.asarray(np.linalg.inv(gram + np.diag(ridge_P)), np.float64)


def _summed(values_P: FloatArray, family_P: IntArray, families: int) -> FloatArray:
    return np.bincount(family_P, weights=values_P, minlength=families).astype(np.float64)
