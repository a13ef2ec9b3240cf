"""The five environments: E1 to E4 made by a seed, E5 the built-in domains with the real formulas.

Signals are scaled to a standard deviation of 1 over the uniform policy's actions (E3: five useful
concepts of one unit each), prompts' offsets have one of 1.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np

from orchestrator.rollouts import Action, FloatArray
from orchestrator.space import Space
from tests.benchmarks.learning.formulas import formula_worlds
from tests.benchmarks.learning.world import (
    PROMPTS,
    Encoded,
    World,
    Worth,
    encode,
    every_action,
    random_space,
    uniform_law,
)
from worker.rewards.length import length


class Environment(NamedTuple):
    """One or more domains that are learnt side by side."""

    name: str
    worlds: tuple[World, ...]


@dataclass(frozen=True)
class SumWorld:
    """Values are sums over what an action holds, and what a formula says of its words."""

    space: Space
    worth: Worth
    noise: float
    offsets_P: FloatArray
    start: float
    best: float
    words: "Words | None" = None

    def value(self, actions: Sequence[Action]) -> FloatArray:
        return _value(self.worth, self.words, encode(self.space, actions))

    def reward(
        self, prompt: int, actions: Sequence[Action], noise: np.random.Generator
    ) -> FloatArray:
        value_R = self.value(actions) + noise.normal(scale=self.noise, size=len(actions))
        return np.asarray(value_R + self.offset(prompt))

    def offset(self, prompt: int) -> float:
        return float(self.offsets_P[prompt % PROMPTS])


@dataclass(frozen=True)
class Words:
    """How many words each part writes, and what the length formula is worth."""

    concepts_n: FloatArray
    templates_T: FloatArray
    features_m: FloatArray
    #: The real reward ``length`` by number of words, and its scale.
    by_count_W: FloatArray
    scale: float

    def of(self, actions: Encoded) -> FloatArray:
        count_R = (
            actions.concepts_Rn @ self.concepts_n
            + actions.templates_RT @ self.templates_T
            + actions.features_Rm @ self.features_m
        )
        return self.scale * self.by_count_W[count_R.astype(np.int64)]


def additive(seed: int) -> Environment:
    """E1: 20 concepts, each worth something of its own."""
    return _summed("E1", seed, interactions=0.0, noise=0.5, formula=0.0)


def interacting(seed: int) -> Environment:
    """E2: pairs of concepts, and of concept and template, vary as much as all else together."""
    return _summed("E2", seed, interactions=1.0, noise=0.5, formula=0.0)


def noisy_judge(seed: int) -> Environment:
    """E4: noise as large as the signal, part of which is the real length formula."""
    return _summed("E4", seed, interactions=0.0, noise=1.0, formula=0.7)


def sparse(seed: int) -> Environment:
    """E3: 200 concepts, five per prompt, five of them useful; features are worth nothing."""
    draws = np.random.default_rng([seed, 3])
    space = random_space(draws, n=200, k=5, m=40)
    concepts_n = np.zeros(space.n)
    concepts_n[draws.choice(space.n, size=5, replace=False)] = 1.0
    templates_T = draws.normal(scale=0.3, size=space.T)
    worth = Worth(
        concepts_n,
        templates_T,
        np.zeros(space.m),
        np.zeros((space.n, space.n)),
        np.zeros((space.n, space.T)),
    )
    start = float(space.k * concepts_n.mean() + templates_T.mean())
    best = float(np.sort(concepts_n)[-space.k :].sum() + templates_T.max())
    world = SumWorld(space, worth, 0.3, draws.normal(size=PROMPTS), start, best)
    return Environment("E3", (world,))


def built_in(seed: int) -> Environment:
    """E5: three domains, the template engine and the formula rewards; no noise, so one world."""
    return Environment("E5", formula_worlds())


ENVIRONMENTS: Mapping[str, Callable[[int], Environment]] = {
    "E1": additive,
    "E2": interacting,
    "E3": sparse,
    "E4": noisy_judge,
    "E5": built_in,
}


@cache
def environment(name: str, seed: int) -> Environment:
    """The environment of that name and seed."""
    return ENVIRONMENTS[name](0 if name == "E5" else seed)


def _value(worth: Worth, words: Words | None, actions: Encoded) -> FloatArray:
    value_R = worth.of(actions)
    return value_R if words is None else np.asarray(value_R + words.of(actions))


def _summed(name: str, seed: int, interactions: float, noise: float, formula: float) -> Environment:
    draws = np.random.default_rng([seed, int(name[1:])])
    space = random_space(draws, n=20, k=2, m=12)
    actions = list(every_action(space))
    encoded, law_R = encode(space, actions), uniform_law(space, actions)
    alone = Worth(
        draws.normal(size=space.n),
        draws.normal(size=space.T),
        draws.normal(scale=0.5, size=space.m),
        np.zeros((space.n, space.n)),
        np.zeros((space.n, space.T)),
    )
    half_nn = np.triu(draws.normal(size=(space.n, space.n)), 1)
    together = Worth(
        np.zeros(space.n),
        np.zeros(space.T),
        np.zeros(space.m),
        half_nn + half_nn.T,
        draws.normal(scale=0.5, size=(space.n, space.T)),
    )
    unit = 1 / _spread(alone.of(encoded), law_R)
    other = interactions / _spread(together.of(encoded), law_R)
    worth = Worth(
        alone.concepts_n * unit,
        alone.templates_T * unit,
        alone.features_m * unit,
        together.pairs_nn * other,
        together.shaped_nT * other,
    )
    words = _words(draws, space, encoded, law_R, formula) if formula else None
    value_R = _value(worth, words, encoded)
    world = SumWorld(
        space=space,
        worth=worth,
        noise=noise * _spread(value_R, law_R),
        offsets_P=draws.normal(size=PROMPTS),
        start=float(law_R @ value_R),
        best=float(value_R.max()),
        words=words,
    )
    return Environment(name, (world,))


def _words(
    draws: np.random.Generator, space: Space, encoded: Encoded, law_R: FloatArray, share: float
) -> Words:
    counts = Words(
        draws.integers(1, 5, size=space.n).astype(np.float64),
        draws.permutation([10.0, 25.0, 45.0, 90.0]),
        draws.integers(1, 5, size=space.m).astype(np.float64),
        np.array([length("word " * count) for count in range(120)]),
        scale=1.0,
    )
    scale = share / _spread(counts.of(encoded), law_R)
    return Words(counts.concepts_n, counts.templates_T, counts.features_m, counts.by_count_W, scale)


def _spread(value_R: FloatArray, law_R: FloatArray) -> float:
    mean = float(law_R @ value_R)
    return float(np.sqrt(law_R @ (value_R - mean) ** 2))
