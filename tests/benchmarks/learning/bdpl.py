"""BDPL: black-box discrete prompt learning by variance-reduced REINFORCE (Diao et al. 2023).

    p <- project(p + AdamW( sum_j (r_j - mean r) D_j / (G - 1) ))
    D = +1/p where drawn, -1/p elsewhere

A categorical law per slot (k concepts, one template, f features), the gradient clipped to norm 3,
AdamW, Euclidean projection onto the simplex: as the authors' run_glue_discrete_LM.py has it. Slots
of theirs may repeat a word; here a concept that is taken already falls to the next free one. Left
out: the ngram table (our vocabulary is the domain) and the choice of the best epoch on a held-out
set (its calls would have to be counted). Beyond theirs, for tuning: another
first moment, and a share of the uniform law that stays in every slot.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from orchestrator.rollouts import Action, BoolArray, FloatArray, IntArray
from orchestrator.space import Space
from tests.benchmarks.learning.learner import Answers

GROUP_SIZE = 8
MAX_NORM = 3.0
SECOND, TINY = 0.999, 1e-8


class BdplKnobs(NamedTuple):
    """What was tuned."""

    learning_rate: float = 0.01
    #: Of AdamW: how much of the past gradients a step holds.
    momentum: float = 0.9
    #: Share of the uniform law in every slot.
    floor: float = 0.0


class Bdpl:
    """Rows of ``law``: k slots over concepts, one over templates, f over features."""

    def __init__(self, knobs: BdplKnobs, space: Space, seed: int) -> None:
        self.knobs, self.space = knobs, space
        self.noise = np.random.default_rng([seed, 31])
        sizes = [space.n] * space.k + [space.T] + [space.m] * space.f
        self.allowed_sW: BoolArray = np.arange(max(sizes)) < np.array(sizes)[:, None]
        self.uniform_sW: FloatArray = self.allowed_sW / self.allowed_sW.sum(axis=1, keepdims=True)
        self.law_sW = self.uniform_sW
        self.first_sW, self.second_sW = np.zeros_like(self.law_sW), np.zeros_like(self.law_sW)
        self.steps = 0
        self._picked: list[IntArray] = []

    def ask(self, step: int, prompts: Sequence[int]) -> list[tuple[Action, ...]]:
        self._picked = [self._pick(GROUP_SIZE) for _ in prompts]
        return [tuple(self._action(row) for row in picked) for picked in self._picked]

    def tell(self, step: int, answers: Sequence[Answers]) -> None:
        uphill_sW = np.zeros_like(self.law_sW)
        safe_sW = np.maximum(self.law_sW, TINY)
        for picked_Gs, answer in zip(self._picked, answers, strict=True):
            above_G = answer.rewards_G - answer.rewards_G.mean()
            drawn_GsW = picked_Gs[:, :, None] == np.arange(self.law_sW.shape[1])
            sign_GsW = np.where(drawn_GsW, 1.0, -1.0) / safe_sW
            uphill_sW += np.einsum("g,gsw->sw", above_G, sign_GsW) / (len(above_G) - 1)
        uphill_sW *= self.allowed_sW / len(answers)
        norm = float(np.sqrt((uphill_sW**2).sum()))
        uphill_sW *= min(1.0, MAX_NORM / (norm + TINY))
        self.steps += 1
        momentum, floor = self.knobs.momentum, self.knobs.floor
        self.first_sW = momentum * self.first_sW + (1 - momentum) * uphill_sW
        self.second_sW = SECOND * self.second_sW + (1 - SECOND) * uphill_sW**2
        first_sW = self.first_sW / (1 - momentum**self.steps)
        second_sW = self.second_sW / (1 - SECOND**self.steps)
        step_sW = self.knobs.learning_rate * first_sW / (np.sqrt(second_sW) + TINY)
        law_sW = np.stack(
            [
                _projected(row_W, allowed_W)
                for row_W, allowed_W in zip(self.law_sW + step_sW, self.allowed_sW, strict=True)
            ]
        )
        self.law_sW = (1 - floor) * law_sW + floor * self.uniform_sW

    def deployed(self) -> Action:
        return self._action(self.law_sW.argmax(axis=1))

    def drawn(self, count: int) -> Sequence[Action]:
        return [self._action(row) for row in self._pick(count)]

    def _pick(self, count: int) -> IntArray:
        below_sW = np.cumsum(self.law_sW, axis=1)
        chances_Rs = self.noise.random((count, len(below_sW))) * below_sW[:, -1]
        return np.asarray((chances_Rs[:, :, None] >= below_sW).sum(axis=2))

    def _action(self, picked_s: IntArray) -> Action:
        space = self.space
        concepts = distinct(picked_s[: space.k].tolist(), range(space.n))
        return completed(space, concepts, int(picked_s[space.k]), picked_s[space.k + 1 :].tolist())


def distinct(picked: Sequence[int], allowed: Sequence[int]) -> list[int]:
    """The picks, each moved to the next allowed number that is still free."""
    free = list(allowed)
    found = []
    for pick in picked:
        number = next((one for one in free if one >= pick), free[0])
        free.remove(number)
        found.append(number)
    return sorted(found)


def completed(space: Space, concepts: list[int], template: int, features: list[int]) -> Action:
    """The action whose features are the nearest candidates to those asked for."""
    chosen_1n = np.isin(np.arange(space.n), concepts)[None]
    candidates = np.flatnonzero(space.candidates(chosen_1n)[0]).tolist()
    taken = distinct(features[: len(candidates)], candidates)
    return Action(tuple(concepts), template, tuple(taken))


def _projected(row_W: FloatArray, allowed_W: BoolArray) -> FloatArray:
    """The nearest point of the simplex (Duchi et al. 2008)."""
    values = row_W[allowed_W]
    ordered = np.sort(values)[::-1]
    excess = (np.cumsum(ordered) - 1) / np.arange(1, len(ordered) + 1)
    shift = excess[np.flatnonzero(ordered > excess)[-1]]
    projected_W = np.zeros_like(row_W)
    projected_W[allowed_W] = np.maximum(values - shift, 0.0)
    return projected_W
