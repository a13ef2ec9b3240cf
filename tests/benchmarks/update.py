"""The update step: 5 to 1,000 concepts, 64 to 4,096 rollouts.

    python -m tests.benchmarks.update [--solver natural] [--repeat 5] [--longest-s 5] [--json FILE]

CPU time of ``orchestrator.update.step`` on groups of 16 slots with noisy rewards, from weights that
have seen one step already; medians. Bound: 20 ms for 32 prompts x 16 slots over 200 concepts, and
time in proportion to the rollouts: ``per_rollout_us`` does not rise with them. A size whose step
would take longer than ``--longest-s``, as the size before tells, is left out.
"""

import statistics
import time
from typing import Any, cast

import numpy as np
from pydantic import TypeAdapter

from orchestrator import advantages, policy, update
from orchestrator.algorithm import Algorithm
from orchestrator.rollouts import DomainWeights, Example, Group, Rollout, Weights
from orchestrator.space import Space
from shared.messages import Reward
from tests.benchmarks._measuring import arguments, report

GROUP_SIZE, TEMPLATES, RELATED = 16, 6, 3
CONCEPTS, ROLLOUTS = (5, 20, 200, 1000), (64, 512, 4096)
DOMAIN = "physics"


def space(concepts: int) -> Space:
    """As many features as concepts, each concept related to three."""
    related = tuple(
        tuple(sorted((i * RELATED + j) % concepts for j in range(RELATED))) for i in range(concepts)
    )
    return Space(concepts, TEMPLATES, concepts, related, (None,) * concepts, k=2, f=2)


def groups(weights: Weights, where: Space, count: int, step: int) -> tuple[Group, ...]:
    """Drawn groups with noisy rewards that favour the first half of the concepts."""
    params = weights.domains[DOMAIN].params
    noise = np.random.default_rng(step)
    found = []
    for number in range(count):
        uniforms = policy.uniforms((1, step, str(number)), GROUP_SIZE, where.uniforms_needed)
        drawn = policy.draw(params, where, uniforms)
        rollouts = []
        for slot, (action, log_prob) in enumerate(zip(*drawn, strict=True)):
            worth = 0.5 + 0.1 * sum(c < where.n / 2 for c in action.concepts)
            value = float(worth + noise.normal(scale=0.1))
            reward = Reward(slot=slot, value=value, parts={"part": value}, feedback="")
            rollouts.append(Rollout(slot, action, float(log_prob), reward=reward))
        example = Example(f"e{number}", "text")
        found.append(
            Group(str(number), step, example, DOMAIN, weights.version, params, tuple(rollouts))
        )
    return tuple(found)


def run(concepts: int, rollouts: int, algorithm: Algorithm, repeat: int) -> dict[str, Any]:
    """One row."""
    where = space(concepts)
    start = policy.initial_params(where)
    weights = Weights(0, {DOMAIN: DomainWeights(start, start)})
    spaces, count = {DOMAIN: where}, max(1, rollouts // GROUP_SIZE)
    seen = advantages.assign(groups(weights, where, count, 1), algorithm)
    weights = update.step(weights, seen, algorithm, spaces).weights
    batch = advantages.assign(groups(weights, where, count, 2), algorithm)
    taken = []
    for _ in range(repeat):
        began = time.process_time()
        update.step(weights, batch, algorithm, spaces)
        taken.append(time.process_time() - began)
    seconds = statistics.median(taken)
    return {
        "concepts": concepts,
        "rollouts": count * GROUP_SIZE,
        "ms": 1000 * seconds,
        "least_ms": 1000 * min(taken),
        "per_rollout_us": 1e6 * seconds / (count * GROUP_SIZE),
    }


def main() -> None:
    """Print a row per size."""
    parser = arguments(__doc__)
    parser.add_argument("--solver", default="natural")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--longest-s", type=float, default=5)
    wanted = parser.parse_args()
    adapter: TypeAdapter[Any] = TypeAdapter(Algorithm)
    algorithm = cast(Algorithm, adapter.validate_python({"solver": wanted.solver}))
    rows: list[dict[str, Any]] = []
    for concepts in CONCEPTS:
        expected_s = 0.0
        for before, count in zip((ROLLOUTS[0], *ROLLOUTS), ROLLOUTS, strict=False):
            expected_s *= count / before
            if expected_s > wanted.longest_s:
                print(f"{concepts} concepts, {count} rollouts: left out, about {expected_s:.0f} s")
                break
            rows.append(run(concepts, count, algorithm, wanted.repeat))
            expected_s = rows[-1]["ms"] / 1000
    report(rows, wanted.json)


if __name__ == "__main__":
    main()
