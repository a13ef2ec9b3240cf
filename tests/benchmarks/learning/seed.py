"""The seed's update, as it is: dspy.ts, examples/finetune (GRPOOptimizer, TextGeneratorModule).

    p_i = log(weight_i) if concept i is in the batch's FIRST text, else log(1e-8)
    weight_i <- clip(weight_i + 0.1 * learning_rate * p_i * A_1, 0.1, 0.95)      A_1: the first's

for ``epochs`` passes over mini-batches of 32, with rewards normalised over the batch. It draws as
the seed does: the concepts of weight above 0.5, shuffled, the first k; template and features
uniformly. If fewer than k are left the seed's text names fewer; an action here needs k, so the
heaviest of the others fill up. Left out: nothing that moves a weight. Its sign is wrong (a good
reward pushes every absent concept down by 18 logs, and the present one too), and with the shipped
batch of one the advantage is 0: it does not move.
"""

import math
from collections.abc import Sequence

import numpy as np

from orchestrator.rollouts import Action, FloatArray, IntArray
from orchestrator.space import Space
from tests.benchmarks.learning.learner import Answers

GROUP_SIZE = 8
LEARNING_RATE, EPOCHS, MINI_BATCH = 0.05, 2, 32
TINY = 1e-8


class SeedUpdate:
    """A weight per concept in [0.1, 0.95]; nothing else is learnt."""

    def __init__(self, space: Space, seed: int) -> None:
        self.space = space
        self.noise = np.random.default_rng([seed, 29])
        self.weights_n: FloatArray = 0.5 + 0.1 * self.noise.random(space.n)

    def ask(self, step: int, prompts: Sequence[int]) -> list[tuple[Action, ...]]:
        return [tuple(self.drawn(GROUP_SIZE)) for _ in prompts]

    def tell(self, step: int, answers: Sequence[Answers]) -> None:
        actions = [action for answer in answers for action in answer.actions]
        reward_R = np.concatenate([answer.rewards_G for answer in answers])
        advantage_R = (reward_R - reward_R.mean()) / (reward_R.std() + TINY)
        for _ in range(EPOCHS):
            for start in range(0, len(actions), MINI_BATCH):
                held = np.isin(np.arange(self.space.n), actions[start].concepts)
                log_n = np.where(held, np.log(self.weights_n + TINY), math.log(TINY))
                moved_n = self.weights_n + 0.1 * LEARNING_RATE * advantage_R[start] * log_n
                self.weights_n = np.clip(moved_n, 0.1, 0.95)

    def deployed(self) -> Action:
        heaviest = np.sort(np.argsort(-self.weights_n, kind="stable")[: self.space.k])
        return self._action(heaviest, 0, np.arange(self.space.m))

    def drawn(self, count: int) -> Sequence[Action]:
        return [self._drawn() for _ in range(count)]

    def _drawn(self) -> Action:
        shuffled = self.noise.permutation(self.space.n)
        heavy = [i for i in shuffled if self.weights_n[i] > 0.5]
        light = [i for i in np.argsort(-self.weights_n) if self.weights_n[i] <= 0.5]
        chosen = np.sort(np.array([*heavy, *light][: self.space.k]))
        template = int(self.noise.integers(self.space.T))
        return self._action(chosen, template, self.noise.permutation(self.space.m))

    def _action(self, concepts: IntArray, template: int, order_m: IntArray) -> Action:
        chosen_1n = np.isin(np.arange(self.space.n), concepts)[None]
        offered_m = self.space.candidates(chosen_1n)[0]
        features = [int(j) for j in order_m if offered_m[int(j)]][: self.space.f]
        return Action(tuple(int(i) for i in concepts), template, tuple(sorted(features)))
