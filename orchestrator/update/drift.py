"""A silent change of the world: batches whose residuals the past says are too large.

    T = e' C^-1 e / s2        e = y - z mean, before the batch        C = I + z K^-1 z'
      = (misfit after the batch - misfit before) / s2               misfit = c - b' K^-1 b
    F = T / nu        nu = sum (G - 1)        against nu and N - known degrees of freedom
    Z = Paulson's cube root of F: about standard normal while the world stays
    suspicion <- max(0, suspicion + Z - 1/2)        a change if it exceeds ``SURE``

Every batch is foretold from the sums before it: when a hosted model is replaced, its rewards stop
following them. A sharp policy repeats itself, so one batch shows little of a change: suspicion adds
up (CUSUM). After a change the past keeps ``KEPT`` of its weight, little enough that the new world
decides within a batch. While parts explain the rewards, or there is no noise, a world that stays
was never forgotten in 6,500 updates; where pairs matter as much, in 5 of 20 runs of 4,096 calls. So
no memory has to fade on suspicion (``gamma`` = 1). Noise as large as the signal hides a
change.

T needs no C: a batch adds to the misfit of the regression what it could not foretell.

Sources: Paulson 1942; Page 1954 (CUSUM); Basseville & Nikiforov 1993 (tests on innovations). Left
out: finding when it changed (the sums cannot be taken apart).
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from orchestrator.rollouts import FloatArray
from orchestrator.update.belief import Kept

#: Suspicion beyond which it is no chance; what a batch must exceed to add to it.
SURE, SLACK = 8.0, 0.5
#: Weight of the past after a change.
KEPT = 0.02
#: Degrees of freedom that the noise must have before it is trusted.
LEAST_FREEDOM = 24.0
#: Errors of this share of the rewards' variance are no surprise: without noise, or where pairs
#: matter, what parts alone do not explain is all there is, and it is not the same everywhere.
LEAST_NOISE = 0.1


class Watch(NamedTuple):
    """What the solver remembers of its suspicion."""

    suspicion: float
    #: Changes found so far, and whether this step found one.
    drifts: float
    changed: bool = False

    def after(self, grown: float, degrees: int, before: Kept, variance: float) -> "Watch":
        """With a batch of so many degrees of freedom, by which the misfit has grown so much.

        ``before``: what the update before it kept. ``variance``: of a reward within its group.
        """
        if before.freedom < LEAST_FREEDOM:
            return Watch(self.suspicion, self.drifts)
        noise = max(float(before.noise), LEAST_NOISE * variance)
        ratio = max(grown, 0.0) / noise / degrees
        surprise = paulson(ratio, degrees, float(before.freedom))
        suspicion = max(0.0, self.suspicion + surprise - SLACK)
        if suspicion > SURE:
            return Watch(0.0, self.drifts + 1, changed=True)
        return Watch(suspicion, self.drifts)

    def state(self) -> Mapping[str, FloatArray]:
        """What ``watched`` reads."""
        return {"suspicion": np.array(self.suspicion), "drifts": np.array(self.drifts)}


def watched(state: Mapping[str, FloatArray]) -> Watch:
    """The watch of a domain's state; without any suspicion at the start."""
    zero = np.zeros(())
    return Watch(float(state.get("suspicion", zero)), float(state.get("drifts", zero)))


def paulson(ratio: float, upper: float, lower: float) -> float:
    """A value of the F distribution as one of the standard normal, about."""
    a, b = 2 / (9 * upper), 2 / (9 * lower)
    root = ratio ** (1 / 3)
    return float(((1 - b) * root - (1 - a)) / math.sqrt(b * root**2 + a))
