"""Two evaluations of the same prompts, paired: the gain, its interval, the verdict.

The interval is over prompts, since the prompts, not the completions, are the sample that stands
for the world.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from orchestrator.intervals import CONFIDENCE, ENOUGH_PROMPTS, mean_interval


class Comparison(NamedTuple):
    """Two evaluations of the same prompts, paired."""

    prompts: int
    before: float
    after: float
    gain: float
    low: float
    high: float
    wins: int
    losses: int

    @property
    def verdict(self) -> str:
        """IMPROVED or WORSE if the interval excludes 0 and prompts are enough, else NO EVIDENCE."""
        if self.prompts < ENOUGH_PROMPTS or self.low <= 0 <= self.high:
            return "NO EVIDENCE"
        return "IMPROVED" if self.low > 0 else "WORSE"


def compare(
    before: Mapping[str, float],
    after: Mapping[str, float],
    confidence: float = CONFIDENCE,
) -> Comparison | None:
    """The gain over the prompts (id -> mean value) that both have; None below 2 prompts."""
    both = sorted(set(before) & set(after))
    if len(both) < 2:
        return None
    before_P = np.array([before[name] for name in both])
    after_P = np.array([after[name] for name in both])
    # No gain is larger than the range of the rewards, which is that of [0, 1] or what was seen.
    bound = max(1.0, float(np.ptp([before_P, after_P])))
    gain = mean_interval(after_P - before_P, bound, confidence)
    return Comparison(
        prompts=len(both),
        before=float(before_P.mean()),
        after=float(after_P.mean()),
        gain=gain.value,
        low=gain.low,
        high=gain.high,
        wins=int((after_P > before_P).sum()),
        losses=int((after_P < before_P).sum()),
    )
