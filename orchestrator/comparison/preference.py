"""From a judge's verdicts on pairs of texts to how often A is preferred, with its interval.

A pair counts for A or B only if it is judged the same in both orders; every other pair is a tie,
and a tie counts half (Zheng et al. 2023, arXiv:2306.05685, section 3.4). With s_p the mean over
the pairs of prompt p, the preference is

    share = mean_p s_p,   its interval Wilson's score interval with continuity correction

(Newcombe 1998, method 4) at an effective number of prompts n = P * r (Korn & Graubard 1998):

    r = share (1 - share) / s^2 * (z / t_{P-1})^2, kept within [1, judgements per prompt]

where s^2 is the variance of the s_p: ties, and several pairs per prompt, tell more than one throw
of a coin, as far as the s_p really spread less; a pair is two judgements. So few prompts that all
may be one side's by chance say nothing of their spread: r = 1 below ``ENOUGH_PROMPTS``. Without a
difference, the interval excludes 1/2 in at most 2.5% of cases on either side.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from orchestrator.intervals import CONFIDENCE, ENOUGH_PROMPTS, Interval, t_quantile
from orchestrator.rollouts import FloatArray

#: The normal quantile of a 95% interval.
Z = 1.959963984540054
#: More prompts than this are not worth naming.
MOST_NEEDED = 1_000_000


class Preference(NamedTuple):
    """How often A is preferred to B over the prompts, ties half."""

    prompts: int
    #: Prompts whose pairs are more often A's, neither's, more often B's.
    a: int
    ties: int
    b: int
    share: float
    low: float
    high: float
    #: Further prompts after which the interval would exclude 1/2 if the share stayed as it is; 0 if
    #: it does, None if no number can be named.
    needed: int | None

    @property
    def verdict(self) -> str:
        """A PREFERRED or B PREFERRED if the interval excludes 1/2, else INCONCLUSIVE."""
        if self.low <= 0.5 <= self.high:
            return "INCONCLUSIVE"
        return "A PREFERRED" if self.low > 0.5 else "B PREFERRED"


class Pair(NamedTuple):
    """What the judge said of one pair of texts: A's score when A stood first, and second."""

    first: float
    second: float

    @property
    def score(self) -> float:
        """1 if A won both times, 0 if B did, else 1/2."""
        return self.first if self.first == self.second else 0.5

    @property
    def flipped(self) -> bool:
        """Whether the order alone made the winner."""
        return {self.first, self.second} == {0.0, 1.0}


def preference(pairs: Sequence[Sequence[Pair]]) -> Preference | None:
    """The preference over prompts, each with its judged pairs (at least one); None without any."""
    if not pairs:
        return None
    scores_P = np.array([np.mean([pair.score for pair in prompt]) for prompt in pairs])
    prompts, share = len(scores_P), float(scores_P.mean())
    ratio = _ratio(scores_P, 2 * max(len(prompt) for prompt in pairs))
    found = wilson(share, prompts * ratio)
    return Preference(
        prompts=prompts,
        a=int((scores_P > 0.5).sum()),
        ties=int((scores_P == 0.5).sum()),
        b=int((scores_P < 0.5).sum()),
        share=share,
        low=found.low,
        high=found.high,
        needed=_needed(share, prompts, ratio),
    )


def wilson(share: float, n: float) -> Interval:
    """Wilson's score interval with continuity correction, for a share of ``n`` observations.

    (2 n p + z^2 -+ 1 -+ z sqrt(z^2 -+ 2 - 1/n + 4 p (n q +- 1))) / (2 (n + z^2)), q = 1 - p.
    """
    low = 0.0 if share == 0 else 1 - _upper(1 - share, n)
    high = 1.0 if share == 1 else _upper(share, n)
    return Interval(share, low, high)


def _upper(p: float, n: float) -> float:
    root = math.sqrt(max(0.0, Z**2 + 2 - 1 / n + 4 * p * (n * (1 - p) - 1)))
    return min(1.0, (2 * n * p + Z**2 + 1 + Z * root) / (2 * (n + Z**2)))


def _ratio(scores_P: FloatArray, judgements: int) -> float:
    """Observations that a prompt counts for."""
    if len(scores_P) < ENOUGH_PROMPTS:
        return 1.0
    share, variance = float(scores_P.mean()), float(scores_P.var(ddof=1))
    if variance == 0:
        return float(judgements) if 0 < share < 1 else 1.0
    t = t_quantile((1 + CONFIDENCE) / 2, len(scores_P) - 1)
    return min(float(judgements), max(1.0, share * (1 - share) / variance * (Z / t) ** 2))


def _needed(share: float, prompts: int, ratio: float) -> int | None:
    def excludes(number: int) -> bool:
        found = wilson(share, number * ratio)
        return not found.low <= 0.5 <= found.high

    if excludes(prompts):
        return 0
    if share == 0.5 or not excludes(MOST_NEEDED):
        return None
    low, high = prompts, MOST_NEEDED
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if excludes(middle) else (middle, high)
    return high - prompts
