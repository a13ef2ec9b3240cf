"""How a learner's setting is chosen: on the tuning seeds, which the table never uses.

Every setting is scored on a few seeds, then the best few again on more (a race: what chance put
last is lost, what chance put first is found out). The score is the deployed policy's fraction after
64, 256 and 1,024 calls, averaged over seeds and environments. What wins is written into
``learners.py`` by hand.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from tests.benchmarks.learning.environments import environment
from tests.benchmarks.learning.learner import learn
from tests.benchmarks.learning.learners import LEARNERS

FIRST_SEED = 1000
CALLS = (64, 256, 1024)
#: How many settings are scored again, and on how many seeds.
FINALISTS, FINAL_SEEDS = 8, 8


def raced(name: str, seeds: int, environments: Sequence[str]) -> list[Mapping[str, float]]:
    """The mean fraction by setting: of all on so many seeds, of the best on ``FINAL_SEEDS``."""
    first = scores(name, [*LEARNERS[name].settings], seeds, environments)
    best = _ranked(first)[:FINALISTS]
    return [first, scores(name, best, max(seeds, FINAL_SEEDS), environments)]


def scores(
    name: str, settings: Sequence[str], seeds: int, environments: Sequence[str]
) -> Mapping[str, float]:
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
        for setting in settings
    }


def text(name: str, rounds: Sequence[Mapping[str, float]]) -> str:
    """One line per setting, the best first; the last round's best is the choice."""
    lines = []
    for found in rounds:
        lines.append(f"{name}: {len(found)} settings")
        lines += [f"  {found[setting]:.4f}  {setting}" for setting in _ranked(found)]
    return "\n".join(lines)


def _ranked(found: Mapping[str, float]) -> list[str]:
    return sorted(found, key=lambda setting: -found[setting])


def _score(name: str, setting: str, place: str, seed: int) -> float:
    recipe = LEARNERS[name].settings[setting]
    curve = learn(recipe, environment(place, seed), seed, CALLS[-1], ())
    at = np.searchsorted(curve.calls_C, CALLS)
    return float(np.mean([curve.deployed_C[place] for place in at]))
