"""The closed form over a temperature: the optimum of the KL-regularised GRPO objective, one ridge.

    T = c_T sqrt(sum f V_ii / sum f)                         f = Var(score) of the present policy
    params = reference + w / T = argmax  <w, E[stat]> - T KL(pi || reference)

The gradient of the group-relative surrogate at ratio 1 is F w (F the Fisher matrix), so w is its
natural gradient, GRPO's beta is T, and infinitely many inner passes are the closed form. The
temperature falls as the uncertainty falls along what is still explored.

Sources: Kakade 2001, Peters & Schaal 2008 (natural gradient, compatible features); Agarwal et al.
2021 (log-linear NPG); Peters et al. 2010 (REPS); MacKay 1992 (evidence).
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from orchestrator import policy
from orchestrator.rollouts import Action, DomainWeights, FloatArray, Params
from orchestrator.space import Space
from orchestrator.update.sums import Statistics

#: Logits of one factor stray at most this far apart from the reference's: T -> 0 stays finite.
MAX_SPREAD = 30.0
#: Ridge strengths that the evidence chooses from.
RIDGES_L = np.logspace(-1, 2, 31)
#: The noise is at least this share of the rewards' variance: below, it is rounding.
NOISE_FLOOR = 1e-12


class Posterior(NamedTuple):
    """Gaussian belief in the rewards' slopes: mean (d,) and diagonal of the covariance (d,)."""

    mean: FloatArray
    variance: FloatArray
    ridge: float


class Tempered(NamedTuple):
    """The params, and the temperature; None where there is no slope."""

    params: Params
    temperature: float | None


def tempered(
    statistics: Statistics,
    old: DomainWeights,
    actions: Sequence[Action],
    temperature_scale: float,
    space: Space,
) -> Tempered:
    """The worths over the temperature."""
    belief = posterior(statistics)
    explored_d = policy.score_variance(old.params, space, actions)
    sharpness = _sharpness(belief, explored_d, temperature_scale, space)
    slopes = policy.centred(old.params.unflat(belief.mean))
    params = old.params.unflat(old.reference.flat() + sharpness * slopes.flat())
    return Tempered(params, 1 / sharpness if sharpness > 0 else None)


def posterior(statistics: Statistics) -> Posterior:
    """The regression's mean and variance at the ridge of the largest evidence (MacKay 1992)."""
    eigenvalues_d, basis_dd = np.linalg.eigh(statistics.A)
    eigenvalues_d = np.maximum(eigenvalues_d, 0.0)
    seen_d = basis_dd.T @ statistics.b
    shrunk_Ld = 1 / (eigenvalues_d + RIDGES_L[:, None])
    residual_L = statistics.c - shrunk_Ld @ seen_d**2
    floor = max(NOISE_FLOOR * float(statistics.c), np.finfo(np.float64).tiny)
    noise_L = np.maximum(residual_L, floor) / statistics.N
    complexity_L = np.log1p(eigenvalues_d / RIDGES_L[:, None]).sum(axis=1)
    best = int(np.argmax(-0.5 * (statistics.N * np.log(noise_L) + complexity_L)))
    mean_d = basis_dd @ (shrunk_Ld[best] * seen_d)
    variance_d = noise_L[best] * (basis_dd**2 @ shrunk_Ld[best])
    return Posterior(mean_d, variance_d, float(RIDGES_L[best]))


def _sharpness(
    belief: Posterior, explored_d: FloatArray, temperature_scale: float, space: Space
) -> float:
    """1 / T, at most what keeps the logits within ``MAX_SPREAD``; 0 without any slope."""
    parts = np.split(belief.mean, [space.n, space.n + space.T])
    widest = max(float(np.ptp(part)) for part in parts if part.size)
    if widest == 0:
        return 0.0
    # A policy that is certain of everything explores nothing: then the spread alone is the limit.
    shares_d = explored_d / max(float(explored_d.sum()), np.finfo(np.float64).tiny)
    temperature = temperature_scale * math.sqrt(float(shares_d @ belief.variance))
    return 1 / max(temperature, widest / MAX_SPREAD)
