"""A world: a space of actions, what each is truly worth, and what a call for it answers.

    reward = value(action) + offset(prompt) + noise

Only rewards reach a learner. The value, its optimum and its mean under the uniform policy are for
the table: fraction = (value - start) / (best - start).
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from orchestrator import policy
from orchestrator.rollouts import Action, FloatArray
from orchestrator.space import Space

#: Prompts of a world: each has a difficulty of its own.
PROMPTS = 64


class World(Protocol):
    """One domain of an environment."""

    @property
    def space(self) -> Space:
        """Its actions."""

    @property
    def start(self) -> float:
        """Mean value of the uniform policy."""

    @property
    def best(self) -> float:
        """The largest value of any action."""

    def value(self, actions: Sequence[Action]) -> FloatArray:
        """What the actions are worth on average over prompts, (R,)."""

    def reward(
        self, prompt: int, actions: Sequence[Action], noise: np.random.Generator
    ) -> FloatArray:
        """What calls for one prompt answer, (R,)."""

    def offset(self, prompt: int) -> float:
        """The prompt's difficulty: for learners that are given it by an oracle."""


class Encoded(NamedTuple):
    """Actions as arrays of 0 and 1."""

    concepts_Rn: FloatArray
    templates_RT: FloatArray
    features_Rm: FloatArray


@dataclass(frozen=True)
class Worth:
    """What every concept, template, feature and pair adds."""

    concepts_n: FloatArray
    templates_T: FloatArray
    features_m: FloatArray
    #: Symmetric with an empty diagonal, each pair once in either half.
    pairs_nn: FloatArray
    shaped_nT: FloatArray

    def of(self, actions: Encoded) -> FloatArray:
        """The sum over what the actions hold, (R,)."""
        chosen_Rn = actions.concepts_Rn
        alone_R = (
            chosen_Rn @ self.concepts_n
            + actions.templates_RT @ self.templates_T
            + actions.features_Rm @ self.features_m
        )
        pairs_R = ((chosen_Rn @ self.pairs_nn) * chosen_Rn).sum(axis=1) / 2
        shaped_R = ((chosen_Rn @ self.shaped_nT) * actions.templates_RT).sum(axis=1)
        return np.asarray(alone_R + pairs_R + shaped_R)


def encode(space: Space, actions: Sequence[Action]) -> Encoded:
    """The actions as arrays."""
    rows = len(actions)
    concepts_Rn, templates_RT = np.zeros((rows, space.n)), np.zeros((rows, space.T))
    features_Rm = np.zeros((rows, space.m))
    for row, action in enumerate(actions):
        concepts_Rn[row, list(action.concepts)] = 1
        templates_RT[row, action.template] = 1
        features_Rm[row, list(action.features)] = 1
    return Encoded(concepts_Rn, templates_RT, features_Rm)


def every_action(space: Space) -> Iterator[Action]:
    """All actions of a small space."""
    for concepts in itertools.combinations(range(space.n), space.k):
        chosen_1n = np.zeros((1, space.n), dtype=np.bool_)
        chosen_1n[0, list(concepts)] = True
        candidates = np.flatnonzero(space.candidates(chosen_1n)[0]).tolist()
        taken = min(space.f, len(candidates))
        for features in itertools.combinations(candidates, taken):
            for template in range(space.T):
                yield Action(concepts, template, features)


def uniform_law(space: Space, actions: Sequence[Action]) -> FloatArray:
    """How likely the uniform policy draws each action, (R,)."""
    return np.exp(policy.log_prob(policy.initial_params(space), space, actions))


def random_space(noise: np.random.Generator, n: int, k: int, m: int) -> Space:
    """A space of n concepts, four templates, and three features by chance for each concept."""
    related = tuple(
        tuple(sorted(noise.choice(m, size=3, replace=False).tolist())) for _ in range(n)
    )
    return Space(n, 4, m, related, (None,) * n, k=k, f=2)
