"""A silent change of the world: the residuals of a batch that the past says are too large.

    T = sum_g e_g' C_g^-1 e_g        e = y - z mean        C = s2 I + z V z', within the group
    F = T / nu        nu = sum (G - 1)        against nu and N - known degrees of freedom
    Z = Paulson's cube root of F: about normal                 a change if Z > ``SURE``

Every batch is foretold from the sums before it: when a hosted model is replaced, its rewards stop
following them. After a change the past keeps ``KEPT`` of its weight: enough for what did not
change to be remembered, little enough that the new world decides within a batch. A world that
stays is forgotten about once in 300,000 updates, so that no memory has to fade on suspicion
(``gamma`` = 1). What the parts do not explain counts as noise: it must grow to be noticed, so a
change that only moves a few rewards a little is left to ``gamma``.

Sources: Paulson 1942; Basseville & Nikiforov 1993 (tests on innovations). Left out: CUSUM over
batches (a threshold more, and slow changes are what ``gamma`` is for).
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from orchestrator.rollouts import FloatArray
from orchestrator.update.belief import Belief

#: Normal deviations beyond which a batch is no chance.
SURE = 4.5
#: Weight of the past after a change.
KEPT = 0.02
#: Degrees of freedom that the noise must have before it is trusted.
LEAST_FREEDOM = 24.0


class Centred(NamedTuple):
    """A group against its mean: score (G, d) and reward (G,)."""

    scores: FloatArray
    rewards: FloatArray


def changed(belief: Belief, groups: Sequence[Centred]) -> bool:
    """Whether the groups are no longer of the world that the belief, from before them, knows."""
    return belief.freedom >= LEAST_FREEDOM and surprise(belief, groups) > SURE


def surprise(belief: Belief, groups: Sequence[Centred]) -> float:
    """Z of the groups under the belief from before them."""
    mean_d = belief.mean_from(np.zeros(len(belief.moved)))
    total, degrees = 0.0, 0
    for group in groups:
        error_G = group.rewards - group.scores @ mean_d
        spread_GG = group.scores @ belief.inverse @ group.scores.T + np.eye(len(error_G))
        total += float(error_G @ np.linalg.solve(spread_GG, error_G)) / belief.noise
        degrees += len(error_G) - 1
    return paulson(total / degrees, degrees, belief.freedom)


def paulson(ratio: float, upper: float, lower: float) -> float:
    """A value of the F distribution as one of the standard normal, about."""
    a, b = 2 / (9 * upper), 2 / (9 * lower)
    root = ratio ** (1 / 3)
    return float(((1 - b) * root - (1 - a)) / math.sqrt(b * root**2 + a))
