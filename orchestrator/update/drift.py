"""A silent change of the world: batches whose residuals the past says are too large.

    T = sum_g e_g' C_g^-1 e_g        e = y - z mean        C = s2 I + z V z', within the group
    F = T / nu        nu = sum (G - 1)        against nu and N - known degrees of freedom
    Z = Paulson's cube root of F: about standard normal while the world stays
    suspicion <- max(0, suspicion + Z - 1/2)        a change if it exceeds ``SURE``

Every batch is foretold from the sums before it: when a hosted model is replaced, its rewards stop
following them. A sharp policy repeats itself, so one batch shows little of a change: suspicion adds
up (CUSUM). After a change the past keeps ``KEPT`` of its weight, little enough that the new world
decides within a batch. While parts explain the rewards, Z is standard normal and a world that stays
was never forgotten in 600 updates; where pairs matter most or there is no noise, in 2 of 12 runs.
So no memory has to fade on suspicion (``gamma`` = 1). Noise as large as the signal hides a change.

Sources: Paulson 1942; Page 1954 (CUSUM); Basseville & Nikiforov 1993 (tests on innovations). Left
out: finding when it changed (the sums cannot be taken apart).
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from orchestrator.rollouts import FloatArray
from orchestrator.update.belief import Belief
from orchestrator.update.sums import Rows

#: Suspicion beyond which it is no chance; what a batch must exceed to add to it.
SURE, SLACK = 8.0, 0.5
#: Weight of the past after a change.
KEPT = 0.02
#: Degrees of freedom that the noise must have before it is trusted.
LEAST_FREEDOM = 24.0


class Watch(NamedTuple):
    """What the solver remembers of its suspicion."""

    suspicion: float
    #: Changes found so far, and whether this step found one.
    drifts: float
    changed: bool = False

    def after(self, belief: Belief, rows: Rows) -> "Watch":
        """With groups that the belief, from before them, foretells."""
        if belief.freedom < LEAST_FREEDOM:
            return Watch(self.suspicion, self.drifts)
        grown = max(0.0, self.suspicion + surprise(belief, rows) - SLACK)
        if grown > SURE:
            return Watch(0.0, self.drifts + 1, changed=True)
        return Watch(grown, self.drifts)

    def state(self) -> Mapping[str, FloatArray]:
        """What ``watched`` reads."""
        return {"suspicion": np.array(self.suspicion), "drifts": np.array(self.drifts)}


def watched(state: Mapping[str, FloatArray]) -> Watch:
    """The watch of a domain's state; without any suspicion at the start."""
    zero = np.zeros(())
    return Watch(float(state.get("suspicion", zero)), float(state.get("drifts", zero)))


def surprise(belief: Belief, rows: Rows) -> float:
    """Z of the groups under the belief from before them."""
    error_R = rows.y_R - rows.z_Rd @ belief.mean_from(np.zeros(len(belief.moved)))
    rooted_RP = rows.z_Rd @ belief.root
    end_g = np.cumsum(rows.sizes_g)
    total = 0.0
    # Groups of one size at once: a solver is called a few times, not once a group.
    for size in np.unique(rows.sizes_g).tolist():
        at_hG = (end_g[rows.sizes_g == size] - size)[:, None] + np.arange(size)
        rooted_hGP, error_hG1 = rooted_RP[at_hG], error_R[at_hG][:, :, None]
        spread_hGG = rooted_hGP @ rooted_hGP.transpose(0, 2, 1) + np.eye(size)
        total += float((error_hG1 * np.linalg.solve(spread_hGG, error_hG1)).sum()) / belief.noise
    degrees = len(error_R) - len(rows.sizes_g)
    return paulson(total / degrees, degrees, belief.freedom)


def paulson(ratio: float, upper: float, lower: float) -> float:
    """A value of the F distribution as one of the standard normal, about."""
    a, b = 2 / (9 * upper), 2 / (9 * lower)
    root = ratio ** (1 / 3)
    return float(((1 - b) * root - (1 - a)) / math.sqrt(b * root**2 + a))
