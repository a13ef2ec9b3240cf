"""How a learner's setting is chosen: every setting on the tuning seeds, which the table never uses.

The score is the deployed policy's fraction after 64, 256 and 1,024 calls, averaged over seeds and
environments. What wins is written into ``learners.py`` by hand.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from tests.benchmarks.learning.environments import environment
from tests.benchmarks.learning.learner import learn
from tests.benchmarks.learning.learners import LEARNERS

FIRST_SEED = 1000
CALLS = (64, 256, 1024)


def scores(name: str, seeds: int, environments: Sequence[str]) -> Mapping[str, float]:
    """By setting: the mean fraction."""
    return {
        setting: float(
            np.mean(
                [
                    _score(name, setting, place, seed)
                    for place in environments
                    if place != "E5"
                    for seed in range(FIRST_SEED, FIRST_SEED + seeds)
                ]
            )
        )
        for setting in LEARNERS[name].settings
    }


def text(name: str, found: Mapping[str, float]) -> str:
    """One line per setting, the best first."""
    ranked = sorted(found, key=lambda setting: -found[setting])
    lines = [f"{name}: {len(ranked)} settings"]
    lines += [f"  {found[setting]:.4f}  {setting}" for setting in ranked]
    return "\n".join(lines)


def _score(name: str, setting: str, place: str, seed: int) -> float:
    recipe = LEARNERS[name].settings[setting]
    curve = learn(recipe, environment(place, seed), seed, CALLS[-1], ())
    at = np.searchsorted(curve.calls_C, CALLS)
    return float(np.mean([curve.deployed_C[place] for place in at]))
