"""The actions of one domain: how many concepts, templates and features, and which go together.

Arrays are named with their axes: R actions, n concepts, T templates, m features, d parameters.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from orchestrator.rollouts import BoolArray, FloatArray, IntArray


class Offered(NamedTuple):
    """The candidate features of some sets, without the columns of all others: (R, w) each.

    w is the most candidates that any of the sets has.
    """

    #: Indices of features, ascending; 0 where a set has fewer than w.
    at: IntArray
    #: Which of them are candidates.
    open: BoolArray

    def summed(self, values_Rw: FloatArray, m: int) -> FloatArray:
        """The sums over the rows by feature, (m,), of values that are 0 where nothing is open."""
        sums_m = np.bincount(self.at.ravel(), weights=values_Rw.ravel(), minlength=m)
        return np.asarray(sums_m, dtype=np.float64)


#: Subsets of a set (as a power of 10) whose exact law stays within what a float64 holds, with as
#: much again for logits that have moved apart.
MOST_SUBSETS = 150


def most_chosen(n: int) -> int:
    """The largest k < n for which an exact law over the k-subsets of n things can be computed."""
    most = 1
    for k in range(2, min(n - 1, n // 2) + 1):
        if math.comb(n, k) > 10**MOST_SUBSETS:
            return most
        most = k
    return n - 1


@dataclass(frozen=True)
class Space:
    """The actions of one domain. Made from a ``Domain``, read by the policy and the solvers.

    The candidates of a set S are the features related to any concept in S, without those that are
    the same word as one of them; if there are no more than f, all of them are taken.
    Raises ValueError unless 1 <= k < n, T >= 1, f >= 0 and every feature index is in range.
    """

    #: Concepts.
    n: int
    #: Templates.
    T: int
    #: Features.
    m: int
    #: Per concept: indices of its features.
    related: tuple[tuple[int, ...], ...]
    #: Per concept: the feature that is the same word, if there is one.
    same: tuple[int | None, ...]
    #: Concepts per prompt.
    k: int
    #: Features per prompt.
    f: int

    def __post_init__(self) -> None:
        if not 1 <= self.k < self.n:
            raise ValueError(
                f"k = {self.k} concepts per prompt out of n = {self.n}: "
                "k must be at least 1 and less than n"
            )
        if self.T < 1:
            raise ValueError(f"T = {self.T} templates: a domain needs at least one")
        if self.f < 0:
            raise ValueError(f"f = {self.f} features per prompt: it must be 0 or more")
        if len(self.related) != self.n or len(self.same) != self.n:
            raise ValueError(
                f"`related` and `same` need one entry per concept: "
                f"{len(self.related)} and {len(self.same)} for n = {self.n}"
            )
        named = {j for row in self.related for j in row} | {j for j in self.same if j is not None}
        if not named <= set(range(self.m)):
            raise ValueError(
                f"feature indices {sorted(named - set(range(self.m)))} are not in 0..{self.m - 1}"
            )

    @property
    def d(self) -> int:
        """Parameters: n + T + m."""
        return self.n + self.T + self.m

    @property
    def uniforms_needed(self) -> int:
        """Uniform numbers that one action takes."""
        return self.k + 1 + self.f

    def candidates(self, chosen_Rn: BoolArray) -> BoolArray:
        """The candidate features (R, m) of the concept sets ``chosen_Rn``."""
        # Numbers, not booleans: only those are multiplied by BLAS, a hundred times faster.
        counted_Rn = chosen_Rn.astype(np.float32)
        related_Rm = counted_Rn @ self._related_nm > 0
        return np.asarray(related_Rm & ~(counted_Rn @ self._same_nm > 0))

    def offered(self, concepts_Rk: IntArray) -> Offered:
        """The candidate features of the concept sets, given as indices."""
        rows = len(concepts_Rk)
        held_Rm = np.zeros((rows, self.m + 1), dtype=np.bool_)
        features_Rj = self._padded_nr[concepts_Rk].reshape(rows, self.k * self._padded_nr.shape[1])
        np.put_along_axis(held_Rm, features_Rj, True, axis=1)
        np.put_along_axis(held_Rm, self._same_n[concepts_Rk], False, axis=1)
        row_J, feature_J = np.nonzero(held_Rm[:, : self.m])
        count_R = np.bincount(row_J, minlength=rows)
        width = int(count_R.max(initial=0))
        place_J = np.arange(len(row_J)) - np.repeat(np.cumsum(count_R) - count_R, count_R)
        at_Rw = np.zeros((rows, width), dtype=np.int64)
        at_Rw[row_J, place_J] = feature_J
        return Offered(at_Rw, np.arange(width) < count_R[:, None])

    @cached_property
    def _padded_nr(self) -> IntArray:
        """Indices of each concept's features, filled up with m, which is none of them."""
        longest = max(map(len, self.related))
        return np.array(
            [[*features] + [self.m] * (longest - len(features)) for features in self.related],
            dtype=np.int64,
        ).reshape(self.n, longest)

    @cached_property
    def _same_n(self) -> IntArray:
        return np.array([self.m if j is None else j for j in self.same], dtype=np.int64)

    @cached_property
    def _related_nm(self) -> NDArray[np.float32]:
        matrix_nm = np.zeros((self.n, self.m), dtype=np.float32)
        for concept, features in enumerate(self.related):
            matrix_nm[concept, list(features)] = 1
        return matrix_nm

    @cached_property
    def _same_nm(self) -> NDArray[np.float32]:
        matrix_nm = np.zeros((self.n, self.m), dtype=np.float32)
        for concept, feature in enumerate(self.same):
            if feature is not None:
                matrix_nm[concept, feature] = 1
        return matrix_nm
