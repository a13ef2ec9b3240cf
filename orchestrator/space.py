"""The actions of one domain: how many concepts, templates and features, and which go together.

Arrays are named with their axes: R actions, n concepts, T templates, m features, d parameters.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from orchestrator.rollouts import BoolArray


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
