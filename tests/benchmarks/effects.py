"""How often the intervals of ``explain`` hold, and how often a clear effect has the wrong sign.

    python -m tests.benchmarks.effects --runs 200

Whole runs of the natural solver in worlds whose truth is known (``tests.simulated``): sums, sums
with strong pairs, heavy noise, heavy tails, rewards of 0 and 1, such rewards that are seldom 1, a
concept whose worth differs from prompt to prompt, and nothing at all. Where a world is no sum, the
truth is its best sum under the policies that acted. Intervals should hold in 93 to 97% or more;
of the effects called clear, at most 2.5% should have the wrong sign.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from orchestrator import effects, policy
from orchestrator.rollouts import Action, FloatArray, Group, Params
from shared.messages import Reward
from tests.simulated import SPACE, World, every_action, simulate

WORTH = Params(
    np.array([0.10, 0.06, 0.0, 0.0, -0.04, -0.08]),
    np.array([0.05, 0.0, -0.05]),
    np.array([0.04, 0.0, 0.0, 0.0, -0.04]),
)
#: Rollouts -> steps, prompts of a step, slots of a prompt.
SIZES = {8: (1, 1, 8), 24: (1, 3, 8), 64: (2, 4, 8), 256: (4, 8, 8)}
#: A true effect that is closer to 0 has no sign.
ZERO = 1e-9
#: Eases of prompts over which a world's mean is taken.
EASES = 400


@dataclass(frozen=True)
class Told(World):
    """A world that says what a reward is made of."""

    #: Share of the worth, and level, of the chance of a 1; None: the reward is the worth itself.
    chance: tuple[float, float] | None = None
    #: Noise as Student's t with so few degrees of freedom.
    tails: float | None = None
    #: What the first concept's worth changes by with the ease of a prompt.
    by_prompt: float = 0.0

    def mean(self, action: Action, ease: float) -> float:
        """The true reward of an action for a prompt."""
        own = self.worth(action) + ease * (1 + self.by_prompt * (0 in action.concepts))
        if self.chance is None:
            return own
        share, level = self.chance
        return min(max(share * (own - 0.5) + level, 0.0), 1.0)

    def reward(self, action: Action, ease: float, source: np.random.Generator) -> Reward:
        """One reward."""
        mean = self.mean(action, ease)
        if self.chance:
            value = float(source.random() < mean)
        elif self.tails:
            value = mean + self.noise * float(source.standard_t(self.tails))
        else:
            value = mean + float(source.normal(scale=self.noise))
        return Reward(slot=0, value=value, parts={"part": value}, feedback="")

    def means(self, actions: Sequence[Action]) -> FloatArray:
        """The true reward of actions over all prompts."""
        chances = (np.arange(EASES) + 0.5) / EASES
        drawn = np.sort(np.random.default_rng(0).normal(size=100_000))
        eases = self.difficulty * np.quantile(drawn, chances)
        return np.array([np.mean([self.mean(a, float(ease)) for ease in eases]) for a in actions])


PARTS: Mapping[str, Params] = {"part": WORTH}
WORLDS = {
    "sums": Told(PARTS),
    "pairs as strong": Told(PARTS, pairs={(2, 4): 0.3, (0, 1): -0.2}),
    "noise four times the largest effect": Told(PARTS, noise=0.4),
    "heavy tails": Told(PARTS, tails=2.2),
    "0 or 1": Told(PARTS, chance=(1.0, 0.5)),
    "0 or 1, seldom 1": Told(PARTS, chance=(0.5, 0.08)),
    "differs by prompt": Told(PARTS, by_prompt=2.0),
    "nothing": Told(),
}


class Held(NamedTuple):
    """Shares over all runs and effects."""

    said: float
    #: Of those said: within their intervals, and clear.
    within: float
    clear: float
    #: Of the clear ones: of the wrong sign; and of a world without any effect.
    wrong_sign: float
    of_nothing: float


def held(world: Told, rollouts: int, runs: int) -> Held:
    """So many runs of so many rollouts."""
    actions = every_action()
    means_R = world.means(actions)
    said, within, clear, wrong, nothing = [list[bool]() for _ in range(5)]
    for seed in range(runs):
        groups = simulate(world, seed, *SIZES[rollouts]).groups
        truths = truth(groups, actions, means_R)
        for choice, true in zip(effects.estimate(groups, SPACE).choices, truths, strict=True):
            found = choice.reward
            said.append(found is not None)
            if found is not None:
                within.append(found.low <= true <= found.high)
                clear.append(found.clear)
                if found.clear:
                    wrong.append(abs(true) > ZERO and (found.value > 0) != (true > 0))
                    nothing.append(abs(true) <= ZERO)
    return Held(*(float(np.mean(each)) if each else float("nan")
                  for each in (said, within, clear, wrong, nothing)))  # fmt: skip


def truth(groups: Sequence[Group], actions: Sequence[Action], means_R: FloatArray) -> list[float]:
    """The best sum of single effects under the laws that acted, each kind centred."""
    fisher_dd, slope_d = np.zeros((SPACE.d, SPACE.d)), np.zeros(SPACE.d)
    by_law: dict[int, tuple[FloatArray, FloatArray]] = {}
    for group in groups:
        if id(group.acted) not in by_law:
            score_Rd = policy.score(group.acted, SPACE, actions)
            chance_R = np.exp(policy.log_prob(group.acted, SPACE, actions))
            weighted_dR = score_Rd.T * chance_R
            by_law[id(group.acted)] = weighted_dR @ score_Rd, weighted_dR @ means_R
        for total, own in zip((fisher_dd, slope_d), by_law[id(group.acted)], strict=True):
            total += (len(group.survivors()) - 1) * own
    worth_d = np.linalg.pinv(fisher_dd, rcond=1e-9) @ slope_d
    kinds = np.split(worth_d, [SPACE.n, SPACE.n + SPACE.T])
    return [float(value - kind.mean()) for kind in kinds for value in kind]


def rows(runs: int) -> Iterator[str]:
    """The table."""
    heads = "".join(f"{head:>12}" for head in Held._fields)
    yield f"{'world':<38}{'rollouts':>9}{heads}"
    for name, world in WORLDS.items():
        for rollouts in SIZES:
            found = "".join(f"{share:>12.1%}" for share in held(world, rollouts, runs))
            yield f"{name:<38}{rollouts:>9}{found}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=200)
    for row in rows(parser.parse_args().runs):
        print(row, flush=True)


if __name__ == "__main__":
    main()
