"""The textbook GRPO step: passes over mini-batches of the clipped surrogate, with KL and entropy.

    L = mean_j min(rho_j A_j, clip(rho_j, 1 - epsilon, 1 + epsilon_high) A_j)
        - beta KL(pi || reference) + entropy_coef H(pi)              rho = pi / pi_acted, exact

One ratio per rollout: an action is drawn as a whole. KL and entropy are exact (features at the
mini-batch's concept sets), not the k3 estimate. After every optimizer step each factor's logits are
centred, then bounded by ``max_logit``.

Sources: Schulman et al. 2017 (PPO-clip); Shao et al. 2024 (GRPO); Yu et al. 2025 (DAPO: the upper
bound apart); Kingma & Ba 2015 (Adam); Schulman et al. 2017 and RSL-RL (rate adapted to the KL).

Left out, and why: a value function (the group is the baseline); per-factor ratios (CISPO, GSPO:
for batches of many versions ``natural`` is the better answer); weight decay (beta and the entropy
pull towards the reference already).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from orchestrator import policy
from orchestrator.algorithm import Clipped
from orchestrator.rollouts import (
    Action,
    BoolArray,
    DomainWeights,
    FloatArray,
    Group,
    IntArray,
    Params,
)
from orchestrator.space import Space
from orchestrator.update.solution import Solution

#: Adam's decay rates of the first and second moment, and the term that keeps its division finite.
FIRST_DECAY, SECOND_DECAY, ADAM_EPSILON = 0.9, 0.999, 1e-8
#: The rate changes by this factor when the step's KL is off target by more than the same factor.
RATE_FACTOR = 1.5
#: The adapted rate stays within this factor of the configured one.
RATE_RANGE = 100.0


class Batch(NamedTuple):
    """The rollouts that carry a signal: actions, advantages (R,), log pi_acted (R,)."""

    actions: tuple[Action, ...]
    advantages: FloatArray
    log_probs: FloatArray

    def take(self, rows: IntArray) -> "Batch":
        """The mini-batch of these rows."""
        actions = tuple(self.actions[row] for row in rows.tolist())
        return Batch(actions, self.advantages[rows], self.log_probs[rows])


class Moments(NamedTuple):
    """Adam's moments (d,) and the number of optimizer steps ever taken (shape ())."""

    first: FloatArray
    second: FloatArray
    steps: FloatArray


class _Surrogate(NamedTuple):
    ratios: FloatArray
    clipped: BoolArray


def loss(params: Params, reference: Params, batch: Batch, knobs: Clipped, space: Space) -> float:
    """-L over the batch: what the optimizer brings down."""
    ratio_R, clipped_R = _surrogate(params, batch, knobs, space)
    bound_R = np.clip(ratio_R, 1 - knobs.epsilon, 1 + knobs.epsilon_high)
    terms_R = np.where(clipped_R, bound_R, ratio_R) * batch.advantages
    return _penalty(params, reference, batch, knobs, space).value - float(terms_R.mean())


def gradient(
    params: Params, reference: Params, batch: Batch, knobs: Clipped, space: Space
) -> FloatArray:
    """The gradient of ``loss`` in the params, (d,): clipped rollouts push nothing."""
    ratio_R, clipped_R = _surrogate(params, batch, knobs, space)
    push_R = np.where(clipped_R, 0.0, ratio_R * batch.advantages) / len(batch.actions)
    surrogate_d = push_R @ policy.score(params, space, batch.actions)
    return _penalty(params, reference, batch, knobs, space).gradient_d - surrogate_d


def solve(old: DomainWeights, groups: Sequence[Group], knobs: Clipped, space: Space) -> Solution:
    """One update of one domain from rollouts with an advantage; without any, nothing changes."""
    rate = _rate(old.state, knobs)
    batch = _batch(groups)
    if not batch.actions:
        return Solution(old, used=0, learning_rate=rate)
    params, moments = old.params, _moments(old.state, space.d)
    clipped, seen = 0, 0
    for mini in _mini_batches(batch, knobs, int(moments.steps)):
        clipped += int(_surrogate(params, mini, knobs, space).clipped.sum())
        seen += len(mini.actions)
        downhill_d = gradient(params, old.reference, mini, knobs, space)
        step_d, moments = OPTIMIZERS[knobs.optimizer](downhill_d, moments)
        params = _bounded(params.unflat(params.flat() - rate * step_d), knobs.max_logit)
    moved = policy.kl(params, old.params, space, batch.actions).value
    state = {**moments._asdict(), "learning_rate": np.array(_adapted(rate, moved, knobs))}
    weights = DomainWeights(params, old.reference, state)
    return Solution(weights, len(batch.actions), clip_ratio=clipped / seen, learning_rate=rate)


def _surrogate(params: Params, batch: Batch, knobs: Clipped, space: Space) -> _Surrogate:
    ratio_R = np.exp(policy.log_prob(params, space, batch.actions) - batch.log_probs)
    above_R = (batch.advantages > 0) & (ratio_R > 1 + knobs.epsilon_high)
    below_R = (batch.advantages < 0) & (ratio_R < 1 - knobs.epsilon)
    return _Surrogate(ratio_R, above_R | below_R)


def _penalty(
    params: Params, reference: Params, batch: Batch, knobs: Clipped, space: Space
) -> policy.Measured:
    """beta KL(params || reference) - entropy_coef H(params)."""
    value, gradient_d = 0.0, np.zeros(space.d)
    if knobs.beta > 0:
        away = policy.kl(params, reference, space, batch.actions)
        value, gradient_d = knobs.beta * away.value, knobs.beta * away.gradient_d
    if knobs.entropy_coef > 0:
        spread = policy.entropy(params, space, batch.actions)
        value -= knobs.entropy_coef * spread.value
        gradient_d = gradient_d - knobs.entropy_coef * spread.gradient_d
    return policy.Measured(value, gradient_d)


def _batch(groups: Sequence[Group]) -> Batch:
    rows = [
        (rollout.action, rollout.advantage, rollout.log_prob)
        for group in groups
        for rollout in group.rollouts
        if rollout.advantage is not None
    ]
    return Batch(
        tuple(action for action, _, _ in rows),
        np.array([advantage for _, advantage, _ in rows], dtype=np.float64),
        np.array([log_prob for _, _, log_prob in rows], dtype=np.float64),
    )


def _mini_batches(batch: Batch, knobs: Clipped, steps_taken: int) -> Iterator[Batch]:
    """``num_iterations`` passes, each in an order of its own that a resumed run repeats."""
    rows = len(batch.actions)
    size = knobs.mini_batch_size or rows
    for iteration in range(knobs.num_iterations):
        key = (steps_taken, iteration, "mini-batches")
        order_R = np.argsort(policy.uniforms(key, 1, rows)[0], kind="stable")
        for start in range(0, rows, size):
            # Sorted, so that a whole batch is summed in one order whatever the shuffle was.
            yield batch.take(np.sort(order_R[start : start + size]))


def _moments(state: Mapping[str, FloatArray], d: int) -> Moments:
    if "first" not in state:
        return Moments(np.zeros(d), np.zeros(d), np.zeros(()))
    return Moments(state["first"], state["second"], state["steps"])


def _adam(downhill_d: FloatArray, old: Moments) -> tuple[FloatArray, Moments]:
    new = Moments(
        FIRST_DECAY * old.first + (1 - FIRST_DECAY) * downhill_d,
        SECOND_DECAY * old.second + (1 - SECOND_DECAY) * downhill_d**2,
        old.steps + 1,
    )
    first_d = new.first / (1 - FIRST_DECAY ** float(new.steps))
    second_d = new.second / (1 - SECOND_DECAY ** float(new.steps))
    return first_d / (np.sqrt(second_d) + ADAM_EPSILON), new


def _sgd(downhill_d: FloatArray, old: Moments) -> tuple[FloatArray, Moments]:
    return downhill_d, old._replace(steps=old.steps + 1)


#: By ``Clipped.optimizer``: the direction to move against, before the learning rate.
OPTIMIZERS: Mapping[str, Callable[[FloatArray, Moments], tuple[FloatArray, Moments]]] = {
    "adam": _adam,
    "sgd": _sgd,
}


def _bounded(params: Params, max_logit: float) -> Params:
    """Every factor's logits centred, then within ``max_logit`` of that centre."""
    centred = policy.centred(params)
    return params.unflat(np.clip(centred.flat(), -max_logit, max_logit))


def _rate(state: Mapping[str, FloatArray], knobs: Clipped) -> float:
    if knobs.target_kl is None or "learning_rate" not in state:
        return knobs.learning_rate
    return float(state["learning_rate"])


def _adapted(rate: float, moved: float, knobs: Clipped) -> float:
    """The next step's rate, from the exact KL(new || old) of this one."""
    if knobs.target_kl is None:
        return rate
    if moved > knobs.target_kl * RATE_FACTOR:
        rate /= RATE_FACTOR
    elif moved < knobs.target_kl / RATE_FACTOR:
        rate *= RATE_FACTOR
    lowest, highest = knobs.learning_rate / RATE_RANGE, knobs.learning_rate * RATE_RANGE
    return min(max(rate, lowest), highest)
