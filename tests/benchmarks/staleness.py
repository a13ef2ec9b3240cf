"""What learning loses when batches are in flight: the same rollouts, 0 or more updates old.

    python -m tests.benchmarks.staleness [--staleness 0 1 2 4] [--seeds 10] [--json FILE]

The environments of ``learning``, batches of 64, the default solver. Each batch is drawn that many
updates before it is learnt from, and the last ones in flight are learnt from too. Fraction of the
reachable gain of the deployed and of the exploring policy, and the deployed one's loss against
staleness 0 with its 95% interval, paired by seed.
"""

import argparse
import json
import math
from collections import deque
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from orchestrator.algorithm import Natural
from orchestrator.rollouts import Group
from orchestrator.space import Space
from tests.benchmarks.learning.environments import ENVIRONMENTS, environment
from tests.benchmarks.learning.learner import Answers, Recipe, learn
from tests.benchmarks.learning.learners import WHOLE
from tests.benchmarks.learning.ours import Ours


class Late(Ours):
    """Ours, whose batches join an update ``staleness`` updates after they were drawn."""

    def __init__(self, staleness: int, last: int, space: Space, seed: int) -> None:
        super().__init__(Natural(), space, seed)
        self._staleness, self._last = staleness, last
        self._in_flight: deque[Sequence[Group]] = deque()

    def tell(self, step: int, answers: Sequence[Answers]) -> None:
        """An update by the oldest batch in flight; by all of them after the last."""
        self._in_flight.append(self.groups(step, answers))
        keep = 0 if step == self._last else self._staleness
        while len(self._in_flight) > keep:
            self.learn_from(self._in_flight.popleft())


def fractions(name: str, staleness: int, seeds: int, calls: int) -> list[tuple[float, float]]:
    """(deployed, exploring) at the end, by seed."""
    last = calls // 64 - 1
    found = []
    for seed in range(seeds):
        recipe = Recipe(partial(Late, staleness, last), WHOLE)
        curve = learn(recipe, environment(name, seed), seed, calls, (calls,))
        found.append((curve.deployed_C[-1], curve.explored[calls] or 0.0))
    return found


def main() -> None:
    """Print a row per environment and staleness."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--staleness", type=int, nargs="+", default=[0, 1, 2, 4])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--calls", type=int, default=1024)
    parser.add_argument("--json", type=Path)
    wanted = parser.parse_args()
    rows: list[dict[str, Any]] = []
    print("environment  staleness  deployed  exploring  loss of the deployed against 0")
    for name in (each for each in ENVIRONMENTS if each != "E5"):
        base: list[float] = []
        for staleness in wanted.staleness:
            found = fractions(name, staleness, wanted.seeds, wanted.calls)
            deployed, exploring = map(list, zip(*found, strict=True))
            base = base or deployed
            loss_S = np.array(base) - np.array(deployed)
            reach = 1.96 * float(loss_S.std(ddof=1)) / math.sqrt(len(loss_S))
            row = {
                "environment": name,
                "staleness": staleness,
                "deployed": float(np.mean(deployed)),
                "exploring": float(np.mean(exploring)),
                "loss": float(loss_S.mean()),
                "reach": reach,
            }
            rows.append(row)
            print(
                f"{name:>11}  {staleness:>9}  {row['deployed']:>8.3f}  {row['exploring']:>9.3f}"
                f"  {row['loss']:+.3f} ± {reach:.3f}",
                flush=True,
            )
    if wanted.json:
        wanted.json.write_text(json.dumps(rows))


if __name__ == "__main__":
    main()
