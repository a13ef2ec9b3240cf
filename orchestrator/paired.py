"""Two evaluations of the same prompts, paired: the gain, its interval, and the verdict on a policy.

The interval is over prompts, since the prompts, not the completions, are the sample that stands
for the world.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from orchestrator.intervals import CONFIDENCE, ENOUGH_PROMPTS, mean_interval

#: Everything that a verdict can be, the worst first, and what it says of a single comparison.
VERDICTS = {"WORSE": "worse", "NO EVIDENCE": "no evidence", "IMPROVED": "better"}


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

    @property
    def shows(self) -> str:
        """The same in lower case, of this comparison alone: better, worse or no evidence."""
        return VERDICTS[self.verdict]

    @classmethod
    def read(cls, found: Mapping[str, Any] | None) -> "Comparison | None":
        """From the JSON values that ``told`` made."""
        return cls(**{name: found[name] for name in cls._fields}) if found else None


class Decision(NamedTuple):
    """The verdict on a policy."""

    word: str
    #: Whether it is the plain prompt that the policy falls short of, or is not shown to beat.
    by_plain: bool


def decide(start: Comparison | None, plain: Comparison | None, has_plain: bool) -> Decision | None:
    """The worse of both comparisons: with the policy's start, and with the plain prompt.

    A policy that gains on a bad start and stays below the plain prompt is no gain to its user.
    ``has_plain``: a plain prompt was asked; without a comparison nothing shows that it is beaten.
    None without a comparison with the start.
    """
    if start is None:
        return None
    if not has_plain:
        return Decision(start.verdict, False)
    word = worst([start, plain])
    return Decision(word, word != start.verdict)


def worst(comparisons: Iterable[Comparison | None]) -> str:
    """The worst verdict of comparisons; one that could not be made is NO EVIDENCE."""
    verdicts = [each.verdict if each else "NO EVIDENCE" for each in comparisons]
    return min(verdicts, key=list(VERDICTS).index)


def told(found: Comparison | None, verdict: str | None) -> dict[str, Any] | None:
    """A comparison as JSON values, with the verdict that it is a part of."""
    return found and {**found._asdict(), "shows": found.shows, "verdict": verdict}


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
