"""How often what is said is true: verdicts, effects, off-policy values, replays, on simulated runs.

    python -m tests.benchmarks.honesty --runs 200

Every number is a share of runs in worlds whose truth is known (``tests.simulated``), with the share
that it should be; at 200 runs a share of 2.5% is known to +- 2.2 points (two standard errors).
"""

import argparse
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from orchestrator import effects, off_policy, policy, replay
from orchestrator.algorithm import Natural
from orchestrator.off_policy import Target
from orchestrator.paired import compare
from orchestrator.rollouts import Params
from orchestrator.space import Space
from shared.messages import RewardTerm
from tests.simulated import DOMAIN, NOTHING, SPACE, World, every_action, fresh, held_out, simulate

#: Completions per held-out prompt: the default of eval_samples.
SAMPLES = 4
SPACES: dict[str, Space] = {DOMAIN: SPACE}
#: Explores for long, so that the initial policy stays within reach of the rollouts.
PATIENT = Natural(exploration="temperature", temperature_scale=3.0)
WORTH = Params(
    np.array([0.10, 0.06, 0.0, 0.0, -0.04, -0.08]),
    np.array([0.05, 0.0, -0.05]),
    np.array([0.04, 0.0, 0.0, 0.0, -0.04]),
)
MIRRORED = Params(WORTH.theta[::-1].copy(), WORTH.phi, WORTH.eta)


class Row(NamedTuple):
    """One line of the table."""

    what: str
    found: float
    should: str


def verdicts(runs: int) -> Iterator[Row]:
    """With no effect at all, and with a gain of one standard deviation of a reward."""
    learnt = [simulate(World(), seed, steps=3).params for seed in range(40)]
    gain = World(parts={"part": Params(NOTHING.theta, np.array([0.1, -0.05, -0.05]), NOTHING.eta)})
    best = Params(NOTHING.theta, np.array([1.0, 0.0, 0.0]), NOTHING.eta)
    for prompts in (8, 12, 16, 24):
        for world, policies, what, should in (
            (World(), learnt, "IMPROVED without any effect", "<= 2.5%"),
            (gain, [best], "IMPROVED with a gain of one sd", ">= 90%"),
        ):
            told = []
            for seed in range(runs):
                before = held_out(world, None, prompts, SAMPLES, 2 * seed)
                params = policies[seed % len(policies)]
                after = held_out(world, params, prompts, SAMPLES, 2 * seed + 1)
                found = compare(before, after)
                told.append(found is not None and found.verdict == "IMPROVED")
            yield Row(f"{what}, {prompts} prompts", float(np.mean(told)), should)


def intervals(runs: int) -> Iterator[Row]:
    """Effects and off-policy values within their 95% intervals; refused ones are left out."""
    world = World(parts={"part": WORTH})
    kinds = (WORTH.theta, WORTH.phi, WORTH.eta)
    truth = np.concatenate([kind - kind.mean() for kind in kinds])
    within, snips, dr = list[bool](), list[bool](), list[bool]()
    value = world.value_of(NOTHING)
    for seed in range(runs):
        groups = simulate(world, seed, steps=5, knobs=PATIENT).groups
        told = [choice.reward for choice in effects.estimate(groups, SPACE).choices]
        within += [e.low <= t <= e.high for e, t in zip(told, truth, strict=True) if e]
        found = off_policy.estimate(groups, {DOMAIN: Target(NOTHING)}, SPACES)
        if found is not None and found.overlap.too_thin is None:
            snips.append(found.snips.low <= value <= found.snips.high)
            dr.append(found.dr.low <= value <= found.dr.high)
    yield Row("effect within its interval", float(np.mean(within)), "95%")
    yield Row(f"SNIPS within its interval, {len(snips)} runs", float(np.mean(snips)), ">= 93%")
    yield Row(f"doubly robust within its interval, {len(dr)} runs", float(np.mean(dr)), ">= 93%")


def replays(runs: int) -> Iterator[Row]:
    """Replayed under other weights, and trained anew under them: share of what can be gained."""
    parts = {"one": WORTH, "other": MIRRORED}
    then = World(parts=parts, weights={"one": 0.7, "other": 0.3})
    now = World(parts=parts, weights={"one": 0.3, "other": 0.7})
    terms = [RewardTerm(name=name, weight=weight) for name, weight in now.weights.items()]
    start, top = now.value_of(NOTHING), max(map(now.value, every_action()))

    def share(value: float) -> float:
        return (value - start) / (top - start)

    shares: dict[str, list[tuple[float, float]]] = {"replay": [], "fresh run": []}
    for seed in range(runs):
        batches = replay.rewarded(simulate(then, seed, steps=10).batches, terms)
        again = replay.trained(batches, fresh(), Natural(), SPACES).domains[DOMAIN].params
        anew = simulate(now, 1000 + seed, steps=10).params
        for name, params in (("replay", again), ("fresh run", anew)):
            deployed = now.value(policy.greedy(params, SPACE))
            shares[name].append((share(now.value_of(params)), share(deployed)))
    for column, kind in enumerate(("as it draws", "deployed")):
        for name, found in shares.items():
            values = np.array(found)[:, column]
            error = 1.96 * values.std() / np.sqrt(runs)
            should = f"+- {error:.1%}; one run: sd {values.std():.1%}"
            yield Row(f"{name}, share of the gain, {kind}", float(values.mean()), should)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=200)
    runs = parser.parse_args().runs
    for rows in (verdicts(runs), intervals(runs), replays(max(10, runs // 5))):
        for row in rows:
            print(f"{row.what:<52} {row.found:>6.1%}   {row.should}", flush=True)


if __name__ == "__main__":
    main()
