"""Optuna's TPE (Bergstra et al. 2011), the engine of DSPy's MIPROv2: one call a trial, one by one.

Categorical parameters: k concepts, the template, f features; what is taken already falls to the
next free one. Single rewards are what TPE reads, so an oracle takes the prompts' offsets out: more
than it would have. Deployed is the trial with the best reward (what Optuna hands back), or, with
``calls_per_action``, with the best mean of that many. Every learner but this one is told of its
calls in batches; this one after each.
"""

import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from orchestrator.rollouts import Action
from orchestrator.space import Space
from tests.benchmarks.learning.bdpl import completed, distinct
from tests.benchmarks.learning.learner import Answers


class TpeKnobs(NamedTuple):
    """What was tuned."""

    calls_per_action: int = 1
    multivariate: bool = True


class Tpe:
    """An Optuna study; needs the ``bench`` extra."""

    def __init__(self, knobs: TpeKnobs, space: Space, seed: int) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            sampler = optuna.samplers.TPESampler(seed=seed, multivariate=knobs.multivariate)
        self.knobs, self.space = knobs, space
        self.study = optuna.create_study(direction="maximize", sampler=sampler)
        self._trial: Any = None
        self._action = completed(space, list(range(space.k)), 0, [0] * space.f)
        self._best, self._reached = self._action, -np.inf
        self._seen: list[float] = []

    def ask(self, step: int, prompts: Sequence[int]) -> list[tuple[Action, ...]]:
        if not self._seen:
            self._trial = self.study.ask()
            self._action = self._suggested()
        return [(self._action,) for _ in prompts]

    def tell(self, step: int, answers: Sequence[Answers]) -> None:
        self._seen += [float(answer.rewards_G[0]) - answer.offset for answer in answers]
        if len(self._seen) < self.knobs.calls_per_action:
            return
        value = float(np.mean(self._seen))
        self.study.tell(self._trial, value)
        self._seen = []
        if value > self._reached:
            self._best, self._reached = self._action, value

    def deployed(self) -> Action:
        return self._best

    def drawn(self, count: int) -> Sequence[Action]:
        return ()

    def _suggested(self) -> Action:
        space = self.space
        concepts = [self._choice(f"concept {i}", space.n) for i in range(space.k)]
        template = self._choice("template", space.T)
        features = [self._choice(f"feature {i}", space.m) for i in range(space.f)]
        return completed(space, distinct(concepts, range(space.n)), template, features)

    def _choice(self, name: str, size: int) -> int:
        return int(self._trial.suggest_categorical(name, range(size)))
