"""How often the interval of a paired gain holds the truth, and how often chance is called a gain.

    python -m tests.benchmarks.intervals --runs 2000

A line per law of the paired differences: the share of evaluations whose interval holds the true
gain, for each number of prompts, and the share called IMPROVED or WORSE where the true gain is 0.
An interval should hold in 93 to 97%, and either false verdict be at most 2.5%; at 2000 evaluations
these are known to +- 1.0 and +- 0.7 points (two standard errors). Above 97% stands where few values
can come out: an exact interval of wins and losses cannot be narrower without erring more often.
"""

import argparse
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np

from orchestrator.intervals import ENOUGH_PROMPTS, mean_interval
from orchestrator.rollouts import FloatArray

Draw = Callable[[np.random.Generator, int], FloatArray]
PROMPTS = (8, 12, 24, 40, 100, 500)
#: Differences that a true mean is taken from.
MANY = 1_000_000


class Law(NamedTuple):
    """What the paired differences of an evaluation look like."""

    name: str
    draw: Draw
    #: The true mean; None to be measured.
    gain: float | None = None


class Held(NamedTuple):
    """Shares of evaluations of a law."""

    covered: float
    improved: float
    worse: float


def answers(samples: int, right: tuple[float, float], gain: float) -> Draw:
    """Means of 0/1 rewards: a prompt is answered right with a chance ~ Beta(right).

    ``gain``: the share of wrong answers that training sets right.
    """

    def draw(source: np.random.Generator, size: int) -> FloatArray:
        p_P = source.beta(*right, size)
        after_P = source.binomial(samples, p_P + gain * (1 - p_P))
        return np.asarray((after_P - source.binomial(samples, p_P)) / samples)

    return draw


def changes(up: float, down: float, by: float = 1.0) -> Draw:
    """A share of the prompts gains ``by``, a share loses it, the others stay as they were."""

    def draw(source: np.random.Generator, size: int) -> FloatArray:
        u_P = source.random(size)
        return by * ((u_P < up).astype(np.float64) - (u_P > 1 - down))

    return draw


def levels(gain: float, samples: int = 1) -> Draw:
    """Means of rewards of five levels, as a judge gives them."""

    def draw(source: np.random.Generator, size: int) -> FloatArray:
        ease_PS = source.normal(0.5, 0.25, (size, 1)).repeat(samples, axis=1)

        def judged(by: float) -> FloatArray:
            noise_PS = source.normal(by, 0.1, (size, samples))
            return np.asarray(np.clip(np.round(4 * (ease_PS + noise_PS)) / 4, 0, 1).mean(axis=1))

        return judged(gain) - judged(0.0)

    return draw


def around(gain: float, spread: float, noise: Draw) -> Draw:
    """``gain`` + ``spread`` * noise, within [-1, 1]."""
    return lambda source, size: np.clip(gain + spread * noise(source, size), -1, 1)


LAWS = (
    Law("binary, no gain", answers(1, (1, 1), 0.0), 0.0),
    Law("binary, easy prompts, no gain", answers(1, (9, 1), 0.0), 0.0),
    Law("binary, gain 0.15", answers(1, (1, 1), 0.3), 0.15),
    Law("binary, hard prompts, gain 0.86", answers(1, (1, 19), 0.9)),
    Law("binary, 97% gain, 3% stay", changes(0.97, 0.0), 0.97),
    Law("binary, 97% gain, 3% lose", changes(0.97, 0.03), 0.94),
    Law("binary, unanimous", changes(1.0, 0.0), 1.0),
    Law("binary, 5% gain", changes(0.05, 0.0), 0.05),
    Law("binary, 2.5% gain, 2.5% lose", changes(0.025, 0.025), 0.0),
    Law("quarters, no gain", answers(4, (1, 1), 0.0), 0.0),
    Law("quarters, easy prompts, no gain", answers(4, (9, 1), 0.0), 0.0),
    Law("quarters, gain 0.05", answers(4, (1, 1), 0.1), 0.05),
    Law("quarters, 5% gain a quarter", changes(0.05, 0.0, 0.25), 0.0125),
    Law("5 levels, no gain", levels(0.0), 0.0),
    Law("5 levels, gain 0.02", levels(0.02)),
    Law("5 levels, gain 0.4", levels(0.5)),
    Law("5 levels, 4 samples, gain 0.05", levels(0.05, 4)),
    Law("60% ties, else normal", lambda s, n: np.where(
        s.random(n) < 0.6, 0.0, s.normal(0, 0.05, n)), 0.0),
    Law("90% ties, else normal", lambda s, n: np.where(
        s.random(n) < 0.9, 0.0, s.normal(0, 0.05, n)), 0.0),
    Law("4% jumps by 0.6, else nearly none", lambda s, n: np.where(
        s.random(n) < 0.04, s.choice([-0.6, 0.6], n), s.normal(0, 0.002, n)), 0.0),
    Law("heavy tails (t, 2), no gain", around(0.0, 0.03, lambda s, n: s.standard_t(2, n)), 0.0),
    Law("heavy tails (t, 3), gain 0.05", around(0.05, 0.05, lambda s, n: s.standard_t(3, n))),
    Law("skewed (exponential), no gain", around(0.05, 0.05, lambda s, n: -s.exponential(1, n))),
    Law("skewed (lognormal), gain 0.05", around(
        0.05, 0.03, lambda s, n: s.lognormal(0, 1, n) - np.exp(0.5))),
    Law("normal, no gain", around(0.0, 0.05, lambda s, n: s.normal(size=n)), 0.0),
    Law("normal, gain 0.3", around(0.3, 0.1, lambda s, n: s.normal(size=n))),
    Law("uniform, gain 0.05", around(0.05, 0.1, lambda s, n: s.uniform(-1, 1, n)), 0.05),
)  # fmt: skip


@cache
def truth(law: Law) -> float:
    """The true gain of a law."""
    return float(law.draw(np.random.default_rng(1), MANY).mean()) if law.gain is None else law.gain


def held(law: Law, prompts: int, runs: int, seed: int = 0) -> Held:
    """How often intervals of so many prompts are right. Deterministic."""
    source = np.random.default_rng([seed, prompts])
    gain = truth(law)
    interval = cache(lambda drawn: mean_interval(np.frombuffer(drawn)))
    found = [interval(np.sort(law.draw(source, prompts)).tobytes()) for _ in range(runs)]
    enough = prompts >= ENOUGH_PROMPTS
    return Held(
        float(np.mean([each.low - 1e-9 <= gain <= each.high + 1e-9 for each in found])),
        float(np.mean([enough and each.low > 0 for each in found])),
        float(np.mean([enough and each.high < 0 for each in found])),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=2000)
    runs = parser.parse_args().runs
    print(f"{'prompts':<34}" + "".join(f"{prompts:>8}" for prompts in PROMPTS))
    for law in LAWS:
        rows = [held(law, prompts, runs) for prompts in PROMPTS]
        print(f"{law.name:<34}" + "".join(f"{row.covered:>8.1%}" for row in rows), flush=True)
        if law.gain == 0 or law.name.endswith("no gain"):
            for word, column in (("IMPROVED", 1), ("WORSE", 2)):
                print(f"{'    said ' + word:<34}" + "".join(f"{row[column]:>8.1%}" for row in rows))


if __name__ == "__main__":
    main()
