"""What a learner is to the benchmark, and how one learns: ask, call, tell, look.

A learner sees its space, which prompt each action is for, and rewards. It never sees a world.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from orchestrator.rollouts import Action, FloatArray
from orchestrator.space import Space
from tests.benchmarks.learning.environments import Environment
from tests.benchmarks.learning.world import PROMPTS, World

#: Actions drawn from a policy to measure its mean.
SAMPLED = 512


class Answers(NamedTuple):
    """The calls of one prompt at one step."""

    prompt: int
    actions: tuple[Action, ...]
    rewards_G: FloatArray
    #: An oracle's: what the prompt adds to every reward. Ours and all that compare within a group
    #: do not read it; learners without any notion of a prompt get it, in their favour.
    offset: float


class Learner(Protocol):
    """One domain's learner."""

    def ask(self, step: int, prompts: Sequence[int]) -> list[tuple[Action, ...]]:
        """The actions to call, for each of these prompts."""

    def tell(self, step: int, answers: Sequence[Answers]) -> None:
        """What the calls answered."""

    def deployed(self) -> Action:
        """The one action to use from now on."""

    def drawn(self, count: int) -> Sequence[Action]:
        """Actions as the learner would explore now; empty if that is no law of its own."""


class Batches(NamedTuple):
    """How many prompts a step has: ``few`` while fewer than ``until`` calls were made.

    A run's ``early_batch_size`` and ``early_rollouts``.
    """

    prompts: int
    few: int
    until: int = 256

    def at(self, calls: int) -> int:
        """Prompts of the step that starts after so many calls."""
        return self.few if calls < self.until else self.prompts


class Recipe(NamedTuple):
    """How to make a learner, and how it is called."""

    make: Callable[[Space, int], Learner]
    batches: Batches


class Curve(NamedTuple):
    """Fractions of the reachable gain after so many calls."""

    calls_C: list[int]
    deployed_C: list[float]
    #: By number of calls, at the table's columns; None where the learner has no law.
    explored: dict[int, float | None]


def learn(
    recipe: Recipe, environment: Environment, seed: int, calls: int, columns: Sequence[int]
) -> Curve:
    """One learner, one environment, one seed."""
    worlds = environment.worlds
    learners = [recipe.make(world.space, seed) for world in worlds]
    curve = Curve([0], [0.0], {})
    done = step = prompt = 0
    while done < calls:
        size = recipe.batches.at(done)
        asked = [prompt + number for number in range(size)]
        prompt += size
        for number, (world, learner) in enumerate(zip(worlds, learners, strict=True)):
            mine = [p % PROMPTS for p in asked if p % len(worlds) == number]
            if mine:
                done += _step(learner, world, mine, seed, step)
        step += 1
        curve.calls_C.append(done)
        deployed = [
            _deployed(learner, world) for learner, world in zip(learners, worlds, strict=True)
        ]
        curve.deployed_C.append(_fraction(worlds, deployed))
        for column in columns:
            if column <= done and column not in curve.explored:
                curve.explored[column] = _explored(learners, worlds)
    return curve


def _step(learner: Learner, world: World, prompts: list[int], seed: int, step: int) -> int:
    noise = np.random.default_rng([seed, step, prompts[0], 17])
    asked = learner.ask(step, prompts)
    answers = [
        Answers(prompt, actions, world.reward(prompt, actions, noise), world.offset(prompt))
        for prompt, actions in zip(prompts, asked, strict=True)
    ]
    learner.tell(step, answers)
    return sum(len(actions) for actions in asked)


def _deployed(learner: Learner, world: World) -> float:
    return float(world.value([learner.deployed()])[0])


def _explored(learners: Sequence[Learner], worlds: Sequence[World]) -> float | None:
    values = []
    for learner, world in zip(learners, worlds, strict=True):
        drawn = learner.drawn(SAMPLED)
        if not drawn:
            return None
        values.append(float(world.value(drawn).mean()))
    return _fraction(worlds, values)


def _fraction(worlds: Sequence[World], values: Sequence[float]) -> float:
    """(value - start) / (best - start), as a mean over the domains."""
    parts = [
        (value - world.start) / (world.best - world.start)
        for value, world in zip(values, worlds, strict=True)
    ]
    return float(np.mean(parts))
