"""Optuna's TPE (Bergstra et al. 2011), the engine of DSPy's MIPROv2: one call a trial, one by one.

Categorical parameters: k concepts, the template, f features; what is taken already falls to the
next free one. Single rewards are what TPE reads, so an oracle takes the prompts' offsets out: more
than it would have. Deployed is the trial with the best reward (what Optuna hands back), or, with
``calls_per_action``, with the best mean of that many. Every learner but this one is told of its
calls in batches; this one after each.

Optuna reads every trial anew for every parameter of every trial. ``remembering`` works on arrays:
the same laws and random numbers, several times faster (equal worths may be told apart otherwise).
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from math import ceil
from typing import Any, NamedTuple

import numpy as np

from orchestrator.rollouts import Action, FloatArray, IntArray
from orchestrator.space import Space
from tests.benchmarks.learning.bdpl import completed, distinct
from tests.benchmarks.learning.learner import Answers


class TpeKnobs(NamedTuple):
    """What was tuned."""

    calls_per_action: int = 1
    multivariate: bool = True
    #: Trials drawn uniformly before the first suggestion.
    startup: int = 10
    #: Draws of which the best by likelihood ratio is suggested.
    candidates: int = 24
    #: Share of the trials that count as good; None is Optuna's: a tenth, at most 25.
    good: float | None = None


class Tpe:
    """An Optuna study; needs the ``bench`` extra."""

    def __init__(self, knobs: TpeKnobs, space: Space, seed: int) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.knobs, self.space = knobs, space
        #: Of every finished trial: the numbers suggested, by parameter, and its value.
        self.past: list[Mapping[str, int]] = []
        self.values: list[float] = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            sampler = remembering(self)(
                seed=seed,
                multivariate=knobs.multivariate,
                n_startup_trials=knobs.startup,
                n_ei_candidates=knobs.candidates,
                gamma=None if knobs.good is None else _share(knobs.good),
            )
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
        self.past.append(dict(self._trial.params))
        self.values.append(value)
        self.study.tell(self._trial, value)
        self._seen = []
        if value > self._reached:
            self._best, self._reached = self._action, value

    def numbers(self, name: str) -> IntArray:
        """What every finished trial had for a parameter."""
        return np.array([params[name] for params in self.past])

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


class Mixture(NamedTuple):
    """Optuna's estimator of one categorical parameter: a kernel per trial, and the uniform law."""

    observed_K: IntArray
    weights_K: FloatArray
    #: The mixture's law over choices.
    law_c: FloatArray

    @classmethod
    def of(cls, observed_K: IntArray, size: int, weights: Callable[[int], FloatArray]) -> "Mixture":
        weights_K = np.append(weights(len(observed_K)), 1.0)
        weights_K = weights_K / weights_K.sum()
        base = 1 / len(weights_K)
        law_c = np.bincount(observed_K, weights_K[:-1], size) + base * weights_K[:-1].sum()
        return cls(observed_K, weights_K, law_c / (1 + size * base) + weights_K[-1] / size)

    def drawn(self, noise: Any, count: int) -> IntArray:
        """Draws, from the same random numbers as Optuna's."""
        kernels_C = noise.choice(len(self.weights_K), p=self.weights_K, size=count)
        quantile_C = noise.rand(count)
        law_Cc = np.full((count, len(self.law_c)), 1 / len(self.weights_K))
        own_C = np.flatnonzero(kernels_C < len(self.observed_K))
        law_Cc[own_C, self.observed_K[kernels_C[own_C]]] += 1
        below_Cc = np.cumsum(law_Cc / law_Cc.sum(axis=1, keepdims=True), axis=1)
        below_Cc[:, -1] = 1
        return np.asarray((below_Cc < quantile_C[:, None]).sum(axis=1))


def _share(share: float) -> Callable[[int], int]:
    return lambda count: ceil(share * count)


def remembering(learner: Tpe) -> Any:
    """Optuna's sampler, given the past by the learner: all trials are finished and alike."""
    import optuna
    from optuna.samplers._tpe.sampler import default_gamma, default_weights

    class Remembering(optuna.samplers.TPESampler):
        """The sampler with one method of its own."""

        def _sample(self, study: Any, trial: Any, search_space: Any) -> dict[str, Any]:
            """What ``TPESampler._sample`` does, without reading the trials one by one."""
            gamma = self._gamma or default_gamma
            order = np.argsort(-np.array(learner.values), kind="stable")
            good = gamma(len(order))
            halves = (np.sort(order[:good]), np.sort(order[good:]))
            if not learner.knobs.multivariate:
                (name,) = search_space
                numbers = learner.numbers(name)
                size, weights = len(search_space[name].choices), default_weights
                below, above = (Mixture.of(numbers[rows], size, weights) for rows in halves)
                drawn_C = below.drawn(self._rng.rng, self._n_ei_candidates)
                ratio_c = np.log(below.law_c) - np.log(above.law_c)
                return {name: int(drawn_C[np.argmax(ratio_c[drawn_C])])}
            densities = []
            for rows in halves:
                seen = {name: learner.numbers(name)[rows] for name in search_space}
                densities.append(
                    self._parzen_estimator_cls(
                        seen, search_space, self._parzen_estimator_parameters
                    )
                )
            drawn = densities[0].sample(self._rng.rng, self._n_ei_candidates)
            worth_C = self._compute_acquisition_func(drawn, *densities)
            found = self._compare(drawn, worth_C)
            return {name: search_space[name].to_external_repr(found[name]) for name in search_space}

    return Remembering
