"""Linear Thompson sampling: the strongest rival in a world that is a sum.

    w ~ N(mean, s2 (A + lambda I)^-1) for every call; act on the best action under w

Agrawal & Goyal 2013; the ridge lambda by evidence, as ours, unless it is given. Features are raw
memberships, centred within a prompt's group, so that difficulty cancels. Deployed: the best action
under the mean. It is no law of our family: its probabilities are not known, and GRPO's ratios
cannot be formed.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from orchestrator import policy
from orchestrator.rollouts import Action, FloatArray, Params
from orchestrator.space import Space
from tests.benchmarks.learning.learner import Answers
from tests.benchmarks.learning.world import encode

GROUP_SIZE = 8
RIDGES = np.logspace(-1, 2, 31)


class ThompsonKnobs(NamedTuple):
    """What was tuned."""

    #: The draws' spread, as a share of the posterior's.
    spread: float = 1.0
    #: The ridge; None is the one of the largest evidence after each step.
    ridge: float | None = None


class _Belief(NamedTuple):
    mean_d: FloatArray
    #: s2 times the inverse's square root (d, d).
    root_dd: FloatArray


class LinearThompson:
    """Each call acts on its own draw of what every part is worth."""

    def __init__(self, knobs: ThompsonKnobs, space: Space, seed: int) -> None:
        self.knobs, self.space = knobs, space
        self.ridges = RIDGES if knobs.ridge is None else np.array([knobs.ridge])
        self.noise = np.random.default_rng([seed, 23])
        self.gram_dd, self.moved_d = np.zeros((space.d, space.d)), np.zeros(space.d)
        self.squares, self.count = 0.0, 0
        self.belief = _Belief(np.zeros(space.d), np.eye(space.d))

    def ask(self, step: int, prompts: Sequence[int]) -> list[tuple[Action, ...]]:
        return [tuple(self.drawn(GROUP_SIZE)) for _ in prompts]

    def tell(self, step: int, answers: Sequence[Answers]) -> None:
        for answer in answers:
            held_Rd = np.concatenate(encode(self.space, answer.actions), axis=1)
            held_Rd -= held_Rd.mean(axis=0)
            above_R = answer.rewards_G - answer.rewards_G.mean()
            self.gram_dd += held_Rd.T @ held_Rd
            self.moved_d += held_Rd.T @ above_R
            self.squares += float(above_R @ above_R)
            self.count += len(above_R) - 1
        self.belief = self._fitted()

    def deployed(self) -> Action:
        return self._best(self.belief.mean_d)

    def drawn(self, count: int) -> Sequence[Action]:
        steps_Ld = self.noise.standard_normal((count, self.space.d)) @ self.belief.root_dd.T
        return [self._best(self.belief.mean_d + self.knobs.spread * step_d) for step_d in steps_Ld]

    def _best(self, worth_d: FloatArray) -> Action:
        n, templates = self.space.n, self.space.T
        parts = np.split(worth_d, [n, n + templates])
        return policy.greedy(Params(*parts), self.space)

    def _fitted(self) -> _Belief:
        values_d, basis_dd = np.linalg.eigh(self.gram_dd)
        values_d = np.maximum(values_d, 0)
        seen_d = basis_dd.T @ self.moved_d
        shrunk_Ld = 1 / (values_d + self.ridges[:, None])
        noise_L = np.maximum(self.squares - shrunk_Ld @ seen_d**2, 1e-12 * self.squares + 1e-300)
        noise_L /= self.count
        complexity_L = np.log1p(values_d / self.ridges[:, None]).sum(axis=1)
        at = int(np.argmax(-0.5 * (self.count * np.log(noise_L) + complexity_L)))
        root_dd = basis_dd * np.sqrt(noise_L[at] * shrunk_Ld[at])
        return _Belief(basis_dd @ (shrunk_Ld[at] * seen_d), root_dd)
