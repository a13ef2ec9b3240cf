"""The textbook GRPO step: passes over mini-batches of a surrogate, with KL and entropy.

    maximise  surrogate(params) - beta KL(pi || reference) + entropy_coef H(pi)
    params <- params - learning_rate * optimizer(gradient)        then within max_kl, max_logit

``losses`` has the surrogates (ppo_clip, cispo, gspo, reinforce), ``optimizers`` the directions
(adam, sgd, natural_gradient). KL and entropy are exact (features at the mini-batch's concept sets),
not the k3 estimate. After every optimizer step each factor's logits are centred and bounded.

Sources: Shao et al. 2024 (GRPO); Schulman et al. 2017 and RSL-RL (the rate adapted to the KL); the
losses' and optimizers' own in their files.

Left out, and why: a value function (the group is the baseline); weight decay (beta and the entropy
pull towards the reference already).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from orchestrator import policy
from orchestrator.algorithm import Clipped
from orchestrator.rollouts import DomainWeights, FloatArray, Group, Params
from orchestrator.space import Space
from orchestrator.update import ema, entropy
from orchestrator.update.batch import Batch, batch_of
from orchestrator.update.losses import LOSSES
from orchestrator.update.optimizers import OPTIMIZERS
from orchestrator.update.optimizers.moments import Downhill, Moments
from orchestrator.update.solution import Solution
from orchestrator.update.trust import within

#: The rate changes by this factor when the step's KL is off target by more than the same factor.
RATE_FACTOR = 1.5
#: The adapted rate stays within this factor of the configured one.
RATE_RANGE = 100.0


def loss(params: Params, reference: Params, batch: Batch, knobs: Clipped, space: Space) -> float:
    """-L over the batch: what the optimizer brings down."""
    return _loss(params, reference, batch, knobs, space).value


def gradient(
    params: Params, reference: Params, batch: Batch, knobs: Clipped, space: Space
) -> FloatArray:
    """The gradient of ``loss`` in the params, (d,), as the loss type defines it."""
    return _loss(params, reference, batch, knobs, space).gradient_d


def solve(old: DomainWeights, groups: Sequence[Group], knobs: Clipped, space: Space) -> Solution:
    """One update of one domain from rollouts with an advantage; without any, nothing changes."""
    rate = _rate(old.state, knobs)
    batch = batch_of(groups, space, factors=knobs.loss_type == "cispo")
    if not batch.actions:
        return Solution(old, used=0, learning_rate=rate)
    state: dict[str, FloatArray] = {}
    if knobs.advantage == "ema":
        batch, state = _against_the_past(batch, old.state, knobs)
    coef = entropy.coefficient(old.state, knobs)
    stepped = _passes(old, batch, knobs.model_copy(update={"entropy_coef": coef}), space, rate)
    params, actions = stepped.params, batch.actions
    moved = policy.kl_value(params, old.params, space, actions)
    state |= stepped.moments._asdict()
    state["learning_rate"] = np.array(_adapted(rate, moved, knobs))
    state["entropy_coef"] = np.array(entropy.followed(coef, params, space, actions, knobs))
    weights = DomainWeights(params, old.reference, state)
    return Solution(
        weights,
        len(actions),
        clip_ratio=stepped.clip_ratio,
        learning_rate=rate,
        clip_ratio_low=stepped.clip_ratio_low,
    )


class _Stepped(NamedTuple):
    params: Params
    moments: Moments
    clip_ratio: float
    clip_ratio_low: float


def _passes(
    old: DomainWeights, batch: Batch, knobs: Clipped, space: Space, rate: float
) -> _Stepped:
    """All optimizer steps of the update."""
    params, moments = old.params, _moments(old.state, space.d)
    clipped, low, seen = 0, 0, 0
    for mini in _mini_batches(batch, knobs, int(moments.steps)):
        found = _loss(params, old.reference, mini, knobs, space)
        clipped += found.clipped
        low += found.clipped_low
        seen += len(mini.actions)
        downhill = Downhill(found.gradient_d, params, space, mini.actions, knobs.damping)
        step_d, moments = OPTIMIZERS[knobs.optimizer](downhill, moments)
        stepped = _bounded(params.unflat(params.flat() - rate * step_d), knobs.max_logit)
        if knobs.max_kl is not None:
            stepped = within(knobs.max_kl, params, stepped, space, mini.actions)
        params = stepped
    return _Stepped(params, moments, clipped / seen, low / seen)


class _Loss(NamedTuple):
    value: float
    gradient_d: FloatArray
    clipped: int
    #: Of those, the rollouts with a negative advantage.
    clipped_low: int


def _loss(params: Params, reference: Params, batch: Batch, knobs: Clipped, space: Space) -> _Loss:
    gain = LOSSES[knobs.loss_type](params, batch, knobs, space)
    penalty = _penalty(params, reference, batch, knobs, space)
    return _Loss(
        penalty.value - gain.value,
        penalty.gradient_d - gain.gradient_d,
        int(gain.clipped_R.sum()),
        int(gain.clipped_R[batch.advantages < 0].sum()),
    )


def _against_the_past(
    batch: Batch, state: Mapping[str, FloatArray], knobs: Clipped
) -> tuple[Batch, dict[str, FloatArray]]:
    """The batch, whose advantages were rewards, against the running baseline; and that baseline."""
    compared = ema.compared(batch.advantages, state, knobs)
    return batch._replace(advantages=compared.advantages), dict(compared.baseline._asdict())


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
