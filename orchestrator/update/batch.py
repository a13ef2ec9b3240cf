"""The rollouts of a step that carry a signal, as arrays: what the losses of ``clipped`` read.

Arrays are named with their axes: R rollouts; 3 factors: concepts, template, features.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from orchestrator import policy
from orchestrator.rollouts import Action, FloatArray, Group, IntArray, Params
from orchestrator.space import Space


class Batch(NamedTuple):
    """Actions, advantages (R,), log pi_acted (R,); by factor (R, 3) where a loss needs it."""

    actions: tuple[Action, ...]
    advantages: FloatArray
    log_probs: FloatArray
    factors: FloatArray | None = None

    def take(self, rows: IntArray) -> "Batch":
        """The mini-batch of these rows."""
        actions = tuple(self.actions[row] for row in rows.tolist())
        factors = None if self.factors is None else self.factors[rows]
        return Batch(actions, self.advantages[rows], self.log_probs[rows], factors)


def batch_of(groups: Sequence[Group], space: Space, factors: bool = False) -> Batch:
    """The rollouts that have an advantage, group after group."""
    rows = [
        [rollout for rollout in group.rollouts if rollout.advantage is not None] for group in groups
    ]
    flat = [rollout for row in rows for rollout in row]
    each = [
        factor_log_probs(group.acted, space, [rollout.action for rollout in row])
        for group, row in zip(groups, rows, strict=True)
        if factors and row
    ]
    return Batch(
        tuple(rollout.action for rollout in flat),
        np.array([rollout.advantage for rollout in flat], dtype=np.float64),
        np.array([rollout.log_prob for rollout in flat], dtype=np.float64),
        np.concatenate([np.zeros((0, 3)), *each]) if factors else None,
    )


def factor_log_probs(params: Params, space: Space, actions: Sequence[Action]) -> FloatArray:
    """log pi of each factor (R, 3), relative to the uniform law: ratios of params are exact."""
    zeros = policy.initial_params(space)
    uniform_R = policy.log_prob(zeros, space, actions)
    alone = (
        Params(params.theta, zeros.phi, zeros.eta),
        Params(zeros.theta, params.phi, zeros.eta),
        Params(zeros.theta, zeros.phi, params.eta),
    )
    columns = [policy.log_prob(one, space, actions) - uniform_R for one in alone]
    return np.stack(columns, axis=1)
