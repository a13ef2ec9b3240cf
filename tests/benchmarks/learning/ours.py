"""Our solvers, through the product's own ``policy``, ``advantages`` and ``update.step``."""

from collections.abc import Sequence

import numpy as np

from orchestrator import advantages, policy, update
from orchestrator.algorithm import Algorithm
from orchestrator.rollouts import Action, DomainWeights, Example, Group, Params, Rollout, Weights
from orchestrator.space import Space
from shared.messages import Reward
from tests.benchmarks.learning.learner import Answers

GROUP_SIZE = 8
DOMAIN = "domain"


class Ours:
    """One domain, learnt as a run learns it."""

    def __init__(self, algorithm: Algorithm, space: Space, seed: int) -> None:
        start = policy.initial_params(space)
        self.algorithm, self.space, self.seed = algorithm, space, seed
        self.weights = Weights(0, {DOMAIN: DomainWeights(start, start)})
        self._log_probs: list[list[float]] = []

    def ask(self, step: int, prompts: Sequence[int]) -> list[tuple[Action, ...]]:
        """One group per prompt."""
        rows_GU = np.concatenate(
            [
                policy.uniforms((self.seed, step, f"{at}"), GROUP_SIZE, self.space.uniforms_needed)
                for at in range(len(prompts))
            ]
        )
        drawn = policy.draw(self._params, self.space, rows_GU)
        starts = range(0, len(rows_GU), GROUP_SIZE)
        log_probs = drawn.log_prob_G.tolist()
        self._log_probs = [log_probs[at : at + GROUP_SIZE] for at in starts]
        return [drawn.actions[at : at + GROUP_SIZE] for at in starts]

    def tell(self, step: int, answers: Sequence[Answers]) -> None:
        """One update."""
        self.learn_from(self.groups(step, answers))

    def groups(self, step: int, answers: Sequence[Answers]) -> list[Group]:
        """The answers to the last ``ask``, as a run has them."""
        return [
            Group(
                id=f"{at:04d}",
                step=step,
                example=Example(f"{answer.prompt}", ""),
                domain=DOMAIN,
                policy_version=self.weights.version,
                acted=self._params,
                rollouts=_rollouts(answer, self._log_probs[at]),
            )
            for at, answer in enumerate(answers)
        ]

    def learn_from(self, groups: Sequence[Group]) -> None:
        """One update by these groups, whenever they were drawn."""
        scored = advantages.assign(groups, self.algorithm)
        spaces = {DOMAIN: self.space}
        self.weights, _ = update.step(self.weights, scored, self.algorithm, spaces)

    def deployed(self) -> Action:
        return policy.greedy(self._params, self.space)

    def drawn(self, count: int) -> Sequence[Action]:
        rows_GU = policy.uniforms((self.seed, -1, "look"), count, self.space.uniforms_needed)
        return policy.draw(self._params, self.space, rows_GU).actions

    @property
    def _params(self) -> Params:
        return self.weights.domains[DOMAIN].params


def _rollouts(answer: Answers, log_probs: Sequence[float]) -> tuple[Rollout, ...]:
    return tuple(
        Rollout(
            slot,
            action,
            log_prob,
            reward=Reward(slot=slot, value=value, parts={}, feedback=""),
        )
        for slot, (action, log_prob, value) in enumerate(
            zip(answer.actions, log_probs, answer.rewards_G.tolist(), strict=True)
        )
    )
