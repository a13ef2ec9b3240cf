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

K^-1 = root root' is all that is kept of it: a Cholesky factor and its inverse, n^3 / 3 each. The
fixed point goes on where the last update's ended: most updates need one such root.

Sources: MacKay 1992 (evidence, the fixed point), Tipping 2001 (a ridge for each coefficient: left
out, it is too sure of itself at a hundred calls). Left out too: eigenvalues (several ridges have no
common basis).

Arrays are named with their axes: P columns, g families, L draws.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from orchestrator.rollouts import FloatArray, IntArray
from orchestrator.update.triangular import root_of_inverse

#: Steps of the fixed point at most; for pairs, which start at the ridges of the parts alone.
ROUNDS, ROUNDS_OF_PAIRS = 4, 2
#: With fewer rewards (N) every update starts anew: so few rounds from ``FIRST_RIDGE`` hold the
#: ridges near it, which learns faster under noise than where they would end.
FEW_REWARDS = 256
#: A ridge within a factor of two of the next one (in logs) is not worth another root.
NEAR = 0.7
#: The prior of the families' variances: how many effects it counts for, and of which share of the
#: rewards' variance each is.
WEIGHT = 2.0
SHARES = (0.1, 0.1, 0.1, 0.02, 0.02)
#: Where it starts, and how far a ridge may go. A column's square sum grows by up to 1/4 a call.
FIRST_RIDGE, FIRST_RIDGE_OF_PAIRS, LEAST_RIDGE, MOST_RIDGE = 4.0, 12.0, 0.05, 1e4
#: The noise is at least this share of the rewards' variance: below, it is rounding.
NOISE_FLOOR = 1e-12


class Kept(NamedTuple):
    """What an update keeps of its belief for the next, as arrays: ridges (g,), the others ()."""

    ridges: FloatArray
    misfit: FloatArray
    noise: FloatArray
    freedom: FloatArray


class Belief(NamedTuple):
    """A Gaussian over worths. Made by ``believe``, read by ``thompson`` and ``drift``."""

    #: A and b, of the statistics.
    gram: FloatArray
    moved: FloatArray
    #: Lower triangular (P, P), root root' = K^-1.
    root: FloatArray
    #: By family, and by column (P,).
    ridges: FloatArray
    ridge: FloatArray
    #: Variance of a reward that no part explains.
    noise: float
    #: Degrees of freedom that the noise was estimated with.
    freedom: float
    #: How well the families explain the rewards: the log of their probability, a constant apart.
    evidence: float
    #: c - b'K^-1 b at these ridges, and at those where the fixed point started.
    misfit: float
    misfit_at_start: float

    def kept(self) -> Kept:
        """What ``recalled`` reads."""
        return Kept(
            self.ridges, np.array(self.misfit), np.array(self.noise), np.array(self.freedom)
        )

    def mean_from(self, start_P: FloatArray) -> FloatArray:
        """The mean, if before any reward it is ``start_P``."""
        left_P = self.moved - self.gram @ start_P
        return np.asarray(start_P + self.root @ (self.root.T @ left_P))

    def steps(self, normals_LP: NDArray[np.float32], first: int, end: int) -> FloatArray:
        """Draws of the columns from ``first`` to ``end`` around their mean, (L, end - first).

        From standard normal numbers (L, at least ``end``); the same numbers are the same draw.
        Chance has no seven digits: half the width is twice as fast.
        """
        root_CP = (math.sqrt(self.noise) * self.root[first:end, :end]).astype(np.float32)
        return np.asarray(normals_LP[:, :end] @ root_CP.T, dtype=np.float64)


def believe(
    gram: FloatArray,
    moved: FloatArray,
    squares: float,
    count: float,
    families: Sequence[int],
    start: FloatArray | None = None,
    rounds: int = ROUNDS,
    near: float = 0.0,
) -> Belief:
    """The belief at the families' best ridges; ``families`` are their sizes, in column order.

    ``gram``, ``moved``, ``squares`` and ``count`` are A, b, c and N of the regression; c > 0. The
    fixed point starts at the ridges ``start`` and ends where no ridge moves by more than ``near``
    (in logs), or after ``rounds``.
    """
    family_P = np.repeat(np.arange(len(families)), families)
    prior_g = WEIGHT * np.array(SHARES[: len(families)]) * squares / count
    ridge_g = np.full(len(families), FIRST_RIDGE) if start is None else start
    noise, freedom = squares / count, count
    root_PP = _root(gram, ridge_g[family_P])
    misfit = at_start = _misfit(root_PP, moved, squares)
    for _ in range(rounds):
        mean_P = root_PP @ (root_PP.T @ moved)
        left_P = ridge_g[family_P] * np.einsum("ij,ij->i", root_PP, root_PP)
        known_g = _summed(1 - left_P, family_P, len(families))
        residual = squares - 2 * moved @ mean_P + mean_P @ gram @ mean_P
        freedom = max(count - float(known_g.sum()), 1.0)
        noise = max(float(residual), NOISE_FLOOR * squares) / freedom
        size_g = _summed(mean_P**2, family_P, len(families))
        next_g = np.clip(noise * (known_g + WEIGHT) / (size_g + prior_g), LEAST_RIDGE, MOST_RIDGE)
        if np.abs(np.log(next_g / ridge_g)).max() < near:
            break
        ridge_g = next_g
        root_PP = _root(gram, ridge_g[family_P])
        misfit = _misfit(root_PP, moved, squares)
    ridge_P = ridge_g[family_P]
    complexity = float(np.log(ridge_P).sum() + 2 * np.log(np.diag(root_PP)).sum())
    evidence = -0.5 * (count * math.log(noise) + misfit / noise - complexity)
    return Belief(
        gram, moved, root_PP, ridge_g, ridge_P, noise, freedom, evidence, misfit, at_start
    )


def recalled(state: Mapping[str, FloatArray]) -> Kept | None:
    """What the last update kept; None at the start."""
    if "misfit" not in state:
        return None
    return Kept(*(state[name] for name in Kept._fields))


def _misfit(root_PP: FloatArray, moved: FloatArray, squares: float) -> float:
    """The residual and the ridge's penalty."""
    seen_P = root_PP.T @ moved
    return max(squares - float(seen_P @ seen_P), NOISE_FLOOR * squares)


def _root(gram: FloatArray, ridge_P: FloatArray) -> FloatArray:
    kernel_PP = gram.copy()
    np.fill_diagonal(kernel_PP, gram.diagonal() + ridge_P)
    return root_of_inverse(kernel_PP)


def _summed(values_P: FloatArray, family_P: IntArray, families: int) -> FloatArray:
    return np.bincount(family_P, weights=values_P, minlength=families).astype(np.float64)
