"""Intervals that hold for few observations: of a bounded mean, and Student's t.

Arrays are named with their axes: P observations (prompts or clusters), V distinct values, S points
of a contour.
"""

import math
from functools import cache
from typing import NamedTuple

import numpy as np

from orchestrator.rollouts import FloatArray

CONFIDENCE = 0.95
#: With fewer, even a gain on every prompt is chance in more than 2.5% of cases: 2^-5 = 3.1%.
ENOUGH_PROMPTS = 6
#: Values are much the same within this share of their range.
MUCH_THE_SAME = 0.02
#: Sample skewness is too small by about half for few values (measured for exponential ones).
SKEWNESS_FACTOR = 2.0
#: Halvings after which the end of an interval is known to 3e-5.
HALVINGS = 16
#: Values of a mixture are told apart by so much of the largest.
GRAIN = 1e-3
#: Step and end of the trapezoidal rule: errors below 2e-6.
STEP, REACH = 0.1, 16.0


class Interval(NamedTuple):
    """A number with the interval around it."""

    value: float
    low: float
    high: float


def mean_interval(
    values_P: FloatArray, bound: float = 1.0, confidence: float = CONFIDENCE
) -> Interval:
    """The mean of ``values_P`` (P >= 2,), none of which can be beyond -+ ``bound``; never wider.

    Values that spread: Student's t, on the longer side of skewed ones wider by ``SKEWNESS_FACTOR``
    times the first term of the Cornish-Fisher expansion (Hall 1992, section 2.6).

    Values of one size, such as wins, ties and losses, and values of which most are much the same
    and fewer than ``ENOUGH_PROMPTS`` are not: what those few spread by says nothing of the spread,
    so the exact interval is taken, that of ``_mixed_end``.

    Coverage and false alarms, measured: ``python -m tests.benchmarks.intervals``. A loss so rare
    that no prompt shows it is in no interval.
    """
    tail = (1 - confidence) / 2
    mean = float(values_P.mean())
    if _is_discrete(values_P):
        high = _mixed_end(values_P, bound, tail)
        low = -_mixed_end(-values_P, bound, tail)
    else:
        low, high = _spread_ends(values_P, mean, tail)
    return Interval(mean, max(min(low, mean), -bound), min(max(high, mean), bound))


def _is_discrete(values_P: FloatArray) -> bool:
    """Whether all that are not 0 have one size, or most are much the same and few are not."""
    sizes_P = np.abs(values_P)
    largest = float(sizes_P.max())
    if np.all((sizes_P <= 1e-9 * largest) | (sizes_P >= (1 - 1e-9) * largest)):
        return True
    sorted_P = np.sort(values_P)
    width = MUCH_THE_SAME * (sorted_P[-1] - sorted_P[0]) * (1 + 1e-9)
    alike_P = np.searchsorted(sorted_P, sorted_P + width, "right") - np.arange(len(sorted_P))
    most = int(alike_P.max())
    return 2 * most > len(values_P) and len(values_P) - most < ENOUGH_PROMPTS


def _spread_ends(values_P: FloatArray, mean: float, tail: float) -> tuple[float, float]:
    """mean -+ t s / sqrt(P), one end moved outwards by the skewness."""
    size, deviations_P = len(values_P), values_P - mean
    reach = t_quantile(1 - tail, size - 1)
    error = float(values_P.std(ddof=1)) / math.sqrt(size)
    skewness = float((deviations_P**3).mean()) / float((deviations_P**2).mean()) ** 1.5
    skewness *= math.sqrt(size * (size - 1)) / max(size - 2, 1)
    longer = SKEWNESS_FACTOR * skewness * (2 * reach**2 + 1) / (6 * math.sqrt(size))
    low, high = reach + max(0.0, -longer), reach + max(0.0, longer)
    return mean - error * low, mean + error * high


def _mixed_end(values_P: FloatArray, bound: float, tail: float) -> float:
    """The upper end of the exact interval of the mean of a mixture of few values.

    The 1 - ``tail`` quantile of the mean under Dirichlet(1, ..., 1) weights of the values and of
    one more, which stands for all that was not seen: the largest value or, where that is more, the
    mean size of a value weighted by size; ``bound`` if fewer than ``ENOUGH_PROMPTS`` are not 0
    (Gaffke 2005; Learned-Miller & Thomas 2019). For
    values of 0 and 1 it is Clopper and Pearson's end; for wins, ties and losses it is beyond 0 just
    where the exact sign test is.
    """
    sizes_P = np.abs(values_P)
    unseen = bound
    if np.count_nonzero(sizes_P) >= ENOUGH_PROMPTS:
        unseen = max(float(values_P.max()), float(sizes_P @ sizes_P / sizes_P.sum()))
    grain = GRAIN * max(float(sizes_P.max()), unseen)
    rounded_P = np.round(np.append(values_P, unseen) / grain) * grain
    values_V, counts_V = np.unique(rounded_P, return_counts=True)
    low, high = float(values_P.mean()), unseen
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if _chance_below(values_V - middle, counts_V.astype(np.float64)) < 1 - tail:
            low = middle
        else:
            high = middle
    return high


def _chance_below(factors_V: FloatArray, counts_V: FloatArray) -> float:
    """P(sum_v factor_v G_v < 0) for independent G_v ~ Gamma(count_v).

    The moment generating function inverted along the vertical line through its saddle point, by
    the trapezoidal rule in u, t = sinh(u) / sd (Daniels 1987).
    """
    if factors_V[-1] <= 0 or factors_V[0] >= 0:
        return float(factors_V[-1] <= 0)
    scale = math.sqrt(float(counts_V @ factors_V**2))
    factors_V = factors_V / scale
    centre = _saddle(factors_V, counts_V)
    if abs(centre) < 0.3:  # Not at the pole, s = 0.
        centre = 0.3
    sd = math.sqrt(float(counts_V @ (factors_V / (1 - factors_V * centre)) ** 2))
    u_S = np.arange(0.0, REACH, STEP)
    s_S = centre + 1j * np.sinh(u_S) / sd
    logs_S = -(counts_V @ np.log(1 - factors_V[:, None] * s_S))
    terms_S = (np.exp(logs_S) / s_S).real * np.cosh(u_S) / sd
    area = STEP * (float(terms_S.sum()) - float(terms_S[0]) / 2) / math.pi
    return 1 - area if centre > 0 else -area


def _saddle(factors_V: FloatArray, counts_V: FloatArray) -> float:
    """Where the cumulant generating function -sum count log(1 - factor s) is least."""
    low, high = 1 / float(factors_V[0]), 1 / float(factors_V[-1])
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        rising = float(counts_V @ (factors_V / (1 - factors_V * middle))) > 0
        low, high = (low, middle) if rising else (middle, high)
    return (low + high) / 2


def t_interval(value: float, error: float, freedom: int) -> Interval:
    """value -+ t times its standard error, with so many degrees of freedom."""
    reach = t_quantile((1 + CONFIDENCE) / 2, max(freedom, 1)) * error
    return Interval(value, value - reach, value + reach)


@cache
def t_quantile(probability: float, freedom: int) -> float:
    """Student's t quantile for probability > 0.5, by bisection of the exact distribution."""
    low, high = 0.0, 1.0
    while t_below(high, freedom) < probability:
        low, high = high, 2 * high
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if t_below(middle, freedom) < probability else (low, middle)
    return high


def t_below(t: float, freedom: int) -> float:
    """P(T <= t) for t >= 0 and whole degrees of freedom (Abramowitz & Stegun 26.7.3, 26.7.4)."""
    angle = math.atan(t / math.sqrt(freedom))
    odd, square = freedom % 2, math.cos(angle) ** 2
    term = math.cos(angle) if odd else 1.0
    total = term if freedom > 1 else 0.0
    for k in range(3 if odd else 2, freedom - 1, 2):
        term *= square * (k - 1) / k
        total += term
    within = math.sin(angle) * total
    return 0.5 + (2 / math.pi * (angle + within) if odd else within) / 2
