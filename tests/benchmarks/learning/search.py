"""Learners without gradients: random search and the cross-entropy method.

Random search (Bergstra & Bengio 2012) draws uniformly and deploys the best action seen. The
cross-entropy method (Rubinstein 1999; de Boer et al. 2005) moves probabilities towards the actions
of the best share of each generation. Both read single rewards, so an oracle takes the prompts'
offsets out: more than they would have. Left out: restarts.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from orchestrator import policy, subsets
from orchestrator.rollouts import Action, FloatArray, Params
from orchestrator.space import Space
from tests.benchmarks.learning.learner import Answers
from tests.benchmarks.learning.world import encode

GROUP_SIZE = 8


class Sampler:
    """Draws from a law of our family, whatever changes its params."""

    def __init__(self, space: Space, seed: int) -> None:
        self.space, self.seed = space, seed
        self.params: Params = policy.initial_params(space)

    def ask(self, step: int, prompts: Sequence[int]) -> list[tuple[Action, ...]]:
        drawn = self._draw(step, GROUP_SIZE * len(prompts))
        starts = range(0, len(drawn), GROUP_SIZE)
        return [tuple(drawn[at : at + GROUP_SIZE]) for at in starts]

    def deployed(self) -> Action:
        return policy.greedy(self.params, self.space)

    def drawn(self, count: int) -> Sequence[Action]:
        return self._draw(-1, count)

    def _draw(self, step: int, count: int) -> tuple[Action, ...]:
        key = (self.seed, step, "sampler")
        rows_GU = policy.uniforms(key, count, self.space.uniforms_needed)
        return policy.draw(self.params, self.space, rows_GU).actions


class RandomSearch(Sampler):
    """Uniform draws; the best reward seen is deployed."""

    def __init__(self, space: Space, seed: int) -> None:
        super().__init__(space, seed)
        self._best = policy.greedy(self.params, space)
        self._reached = -np.inf

    def tell(self, step: int, answers: Sequence[Answers]) -> None:
        for answer in answers:
            reward_G = answer.rewards_G - answer.offset
            top = int(np.argmax(reward_G))
            if reward_G[top] > self._reached:
                self._best, self._reached = answer.actions[top], float(reward_G[top])

    def deployed(self) -> Action:
        return self._best

    def drawn(self, count: int) -> Sequence[Action]:
        return ()


class CrossEntropyKnobs(NamedTuple):
    """What was tuned."""

    #: Share of a generation that the probabilities move towards.
    elite: float = 0.2
    #: How far they move.
    rate: float = 0.5
    #: Calls that the elite is taken from, the newest ones; None is the generation alone.
    window: int | None = None


class CrossEntropy(Sampler):
    """Inclusion probabilities of the elite, smoothed."""

    def __init__(self, knobs: CrossEntropyKnobs, space: Space, seed: int) -> None:
        super().__init__(space, seed)
        self.knobs = knobs
        self._seen: list[tuple[Action, float]] = []
        self._chances = _Chances(
            np.full(space.n, space.k / space.n),
            np.full(space.T, 1 / space.T),
            np.full(space.m, 0.5),
        )

    def tell(self, step: int, answers: Sequence[Answers]) -> None:
        fresh = [
            pair
            for answer in answers
            for pair in zip(
                answer.actions, (answer.rewards_G - answer.offset).tolist(), strict=True
            )
        ]
        self._seen = (self._seen + fresh)[-max(self.knobs.window or 0, len(fresh)) :]
        size = max(round(self.knobs.elite * len(self._seen)), 2)
        ranked = sorted(self._seen, key=lambda pair: -pair[1])
        self._chances = self._moved([action for action, _ in ranked[:size]])
        self.params = self._chances.params(self.space)

    def _moved(self, elite: Sequence[Action]) -> "_Chances":
        held = encode(self.space, elite)
        rate, old = self.knobs.rate, self._chances
        offered_Rm = self.space.candidates(held.concepts_Rn > 0)
        seen_m = offered_Rm.sum(axis=0)
        taken_m = np.where(
            seen_m > 0, held.features_Rm.sum(axis=0) / np.maximum(seen_m, 1), old.features_m
        )
        return _Chances(
            (1 - rate) * old.concepts_n + rate * held.concepts_Rn.mean(axis=0),
            (1 - rate) * old.templates_T + rate * held.templates_RT.mean(axis=0),
            (1 - rate) * old.features_m + rate * taken_m,
        )


class _Chances(NamedTuple):
    concepts_n: FloatArray
    templates_T: FloatArray
    features_m: FloatArray

    def params(self, space: Space) -> Params:
        """The law with these inclusion probabilities, kept a little off 0 and 1."""
        floor = 0.01
        mu_n = (1 - floor) * self.concepts_n + floor * space.k / space.n
        phi_T = np.log((1 - floor) * self.templates_T + floor / space.T)
        eta_m = subsets.log_odds(np.clip(self.features_m, floor, 1 - floor))
        return Params(subsets.theta_from_inclusion(mu_n, space.k), phi_T, eta_m)
