"""E5: the three built-in domains, the template engine and the four formula rewards.

Domains, prompts, drafts and rewards are the product's own. These rewards hold no noise, so every
action of every prompt is scored once, when the table is made, and calls look it up. One run of the
benchmark makes the table once: half a minute.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from orchestrator import prompts
from orchestrator.config import RunConfig
from orchestrator.domains import Domain
from orchestrator.inputs import Inputs, prepare
from orchestrator.rollouts import Action, Example, FloatArray
from orchestrator.space import Space
from shared.messages import Completion, Reward, ScoreJob
from tests.benchmarks.learning.world import World, every_action, uniform_law
from worker.rewards.table import score

#: Prompts of each domain: enough to differ in difficulty, few enough to score every action.
PROMPTS_PER_DOMAIN = 3


@dataclass(frozen=True)
class TableWorld:
    """Rewards by prompt and action (P, A), looked up."""

    space: Space
    rows: Mapping[Action, int]
    rewards_PA: FloatArray
    start: float
    best: float

    def value(self, actions: Sequence[Action]) -> FloatArray:
        return np.asarray(self.rewards_PA[:, self._found(actions)].mean(axis=0))

    def reward(
        self, prompt: int, actions: Sequence[Action], noise: np.random.Generator
    ) -> FloatArray:
        return np.asarray(self.rewards_PA[prompt % len(self.rewards_PA), self._found(actions)])

    def offset(self, prompt: int) -> float:
        return float(self.rewards_PA[prompt % len(self.rewards_PA)].mean())

    def _found(self, actions: Sequence[Action]) -> list[int]:
        return [self.rows[action] for action in actions]


@cache
def formula_worlds() -> tuple[World, ...]:
    """A world for each built-in domain."""
    inputs = prepare(RunConfig())
    return tuple(_world(inputs, domain) for domain in inputs.domains.values())


def _world(inputs: Inputs, domain: Domain) -> TableWorld:
    space = inputs.spaces[domain.name]
    examples = [e for e in inputs.train if inputs.train_domains[e.id] == domain.name]
    actions = list(every_action(space))
    rewards_PA = np.array(
        [
            [_reward(inputs, domain, example, action) for action in actions]
            for example in examples[:PROMPTS_PER_DOMAIN]
        ]
    )
    value_A = rewards_PA.mean(axis=0)
    return TableWorld(
        space=space,
        rows={action: row for row, action in enumerate(actions)},
        rewards_PA=rewards_PA,
        start=float(uniform_law(space, actions) @ value_A),
        best=float(value_A.max()),
    )


def _reward(inputs: Inputs, domain: Domain, example: Example, action: Action) -> float:
    draft = prompts.build(example, domain, action).draft
    job = ScoreJob(
        run="benchmark",
        step=0,
        group=example.id,
        prompt=example.text,
        reference=example.reference,
        terms=domain.terms(),
        extra=dict(example.extra),
        rewards=inputs.rewards,
    )
    scored = score(job, Completion(slot=0, text=draft, model="template", provider="template"))
    assert isinstance(scored, Reward), f"a formula failed on {action!r}: {scored!r}"
    return scored.value
