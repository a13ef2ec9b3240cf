"""A world whose true rewards are known, and whole runs in it without queue, worker or model."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from orchestrator import advantages, policy, update
from orchestrator.algorithm import Algorithm, Natural
from orchestrator.replay import flat
from orchestrator.rollouts import (
    Action,
    DomainWeights,
    Example,
    FloatArray,
    Group,
    Params,
    Rollout,
    Weights,
)
from orchestrator.space import Space
from orchestrator.stored_run import Batch
from shared.messages import Completion, Reward

DOMAIN = "physics"
SPACE = Space(
    6, 3, 5, tuple((i % 5, (i + 1) % 5, (i + 3) % 5) for i in range(6)), (None,) * 6, k=2, f=1
)
NOTHING = Params(np.zeros(SPACE.n), np.zeros(SPACE.T), np.zeros(SPACE.m))


@dataclass(frozen=True)
class World:
    """What each choice is worth to each part of the reward, and how noisy a part is."""

    #: Part -> worth of each concept, template and feature; a reward is 0.5 + worth + noise.
    parts: Mapping[str, Params] = field(default_factory=lambda: {"part": NOTHING})
    #: Worth of two concepts together, for every part.
    pairs: Mapping[tuple[int, int], float] = field(default_factory=dict)
    noise: float = 0.1
    #: Spread of the prompts' difficulty.
    difficulty: float = 0.1
    #: Weight of each part in the reward.
    weights: Mapping[str, float] = field(default_factory=lambda: {"part": 1.0})

    def worth(self, action: Action, part: str = "part") -> float:
        """The true value of an action for one part."""
        of = self.parts[part]
        paired = sum(
            value for pair, value in self.pairs.items() if set(pair) <= set(action.concepts)
        )
        concepts, features = of.theta[list(action.concepts)], of.eta[list(action.features)]
        return float(0.5 + concepts.sum() + of.phi[action.template] + features.sum() + paired)

    def value(self, action: Action) -> float:
        """The true reward of an action."""
        total = sum(self.weights.values())
        return sum(w * self.worth(action, p) for p, w in self.weights.items()) / total

    def value_of(self, params: Params) -> float:
        """The true expected reward of a policy, over every action there is."""
        actions = every_action()
        log_prob_R = policy.log_prob(params, SPACE, actions)
        return float(np.exp(log_prob_R) @ np.array([self.value(action) for action in actions]))

    def reward(self, action: Action, ease: float, source: np.random.Generator) -> Reward:
        """One noisy reward of an action for a prompt of this ease."""
        parts = {
            name: self.worth(action, name) + ease + float(source.normal(scale=self.noise))
            for name in self.parts
        }
        total = sum(self.weights.values())
        value = sum(w * parts[name] for name, w in self.weights.items()) / total
        return Reward(slot=0, value=value, parts=parts, feedback="")


@dataclass(frozen=True)
class Simulated:
    """A run that has ended."""

    batches: tuple[Batch, ...]
    weights: Weights

    @property
    def groups(self) -> tuple[Group, ...]:
        return flat(self.batches)

    @property
    def params(self) -> Params:
        return self.weights.domains[DOMAIN].params


def every_action() -> list[Action]:
    """All actions of ``SPACE``."""
    found = []
    for concepts in itertools.combinations(range(SPACE.n), SPACE.k):
        chosen_1n = np.zeros((1, SPACE.n), dtype=np.bool_)
        chosen_1n[0, list(concepts)] = True
        free = np.flatnonzero(SPACE.candidates(chosen_1n)[0]).tolist()
        for template, features in itertools.product(
            range(SPACE.T), itertools.combinations(free, SPACE.f)
        ):
            found.append(Action(concepts, template, features))
    return found


def fresh() -> Weights:
    """The uniform policy."""
    return Weights(0, {DOMAIN: DomainWeights(NOTHING, NOTHING)})


def simulate(
    world: World,
    seed: int,
    steps: int = 6,
    batch: int = 6,
    size: int = 6,
    knobs: Algorithm | None = None,
) -> Simulated:
    """A whole run."""
    algorithm = knobs or Natural()
    source = np.random.default_rng(seed)
    weights, batches = fresh(), list[Batch]()
    for step in range(1, steps + 1):
        acted = weights.domains[DOMAIN].params
        names = [f"e{i}" for i in range(batch)]
        drawn = [draw(world, acted, weights.version, seed, step, n, size, source) for n in names]
        scored = advantages.assign(drawn, algorithm)
        weights, _ = update.step(weights, scored, algorithm, {DOMAIN: SPACE})
        batches.append(Batch(step, scored))
    return Simulated(tuple(batches), weights)


def draw(
    world: World,
    acted: Params,
    version: int,
    seed: int,
    step: int,
    name: str,
    size: int,
    source: np.random.Generator,
) -> Group:
    """One group of a run, scored."""
    uniforms = policy.uniforms((seed, step, name), size, SPACE.uniforms_needed)
    drawn = policy.draw(acted, SPACE, uniforms)
    ease = float(source.normal(scale=world.difficulty))
    rollouts = tuple(
        rollout(world, slot, action, log_prob, ease, source)
        for slot, (action, log_prob) in enumerate(
            zip(drawn.actions, drawn.log_prob_G.tolist(), strict=True)
        )
    )
    return Group(name, step, Example(name, "text"), DOMAIN, version, acted, rollouts)


def rollout(
    world: World,
    slot: int,
    action: Action,
    log_prob: float,
    ease: float,
    source: np.random.Generator,
) -> Rollout:
    """One scored rollout."""
    reward = world.reward(action, ease, source).model_copy(update={"slot": slot})
    text = " ".join(["word"] * int(source.integers(20, 80)))
    completion = Completion(slot=slot, text=text, model="simulated", provider="test")
    return Rollout(slot, action, log_prob, completion=completion, reward=reward)


def held_out(
    world: World, params: Params | None, prompts: int, samples: int, seed: int
) -> dict[str, float]:
    """Mean reward per held-out prompt: of the policy's best action, or of uniform draws."""
    source = np.random.default_rng(seed)
    ease_P = np.random.default_rng(prompts).normal(scale=world.difficulty, size=prompts)
    if params is not None:
        actions = [policy.greedy(params, SPACE)] * (prompts * samples)
    else:
        uniforms = policy.uniforms((seed, 0, "eval"), prompts * samples, SPACE.uniforms_needed)
        actions = list(policy.draw(NOTHING, SPACE, uniforms).actions)
    values: FloatArray = np.array(
        [
            world.reward(action, ease_P[i // samples], source).value
            for i, action in enumerate(actions)
        ]
    )
    return {f"h{i}": float(v) for i, v in enumerate(values.reshape(prompts, samples).mean(axis=1))}
