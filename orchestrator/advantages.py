"""Rewards -> group-relative advantages: A = (r - mean r) / (std r + 1e-4) over a group's survivors.

GRPO (Shao et al. 2024); ``scale_rewards = none`` is Dr. GRPO (Liu et al. 2025); ``rloo`` is
leave-one-out (Ahmadian et al. 2024). A missing reward enters neither mean nor spread: it is not 0.
``ema`` hands the rewards on as they are: ``update.ema`` holds its running baseline across steps.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from orchestrator.algorithm import AdvantageKnobs
from orchestrator.rollouts import ROUNDING, FloatArray, Group

#: Added to the spread: keeps the advantages of a nearly constant group small.
EPSILON = 1e-4


class SignalCounts(NamedTuple):
    """How many groups have fewer than two survivors, and how many of the others have no spread."""

    dropped: int
    zero_std: int


def assign(groups: Sequence[Group], knobs: AdvantageKnobs) -> tuple[Group, ...]:
    """The groups with ``Rollout.advantage`` set where there is a signal, and None elsewhere.

    There is a signal if the group has two survivors or more and their rewards are not all equal;
    with ``advantage = ema`` equal ones are a signal too, and the advantage is the reward.
    ``scale_rewards = batch`` divides by the spread within the groups that have a signal, pooled.
    """
    centred = [_centred(group, knobs) for group in groups]
    pooled_R = np.concatenate([np.zeros(0), *(c_G for c_G in centred if c_G is not None)])
    assigned = []
    for group, centred_G in zip(groups, centred, strict=True):
        values = {}
        if centred_G is not None:
            others = len(centred_G) / (len(centred_G) - 1) if knobs.advantage == "rloo" else 1.0
            advantage_G = centred_G * others / _scale(centred_G, pooled_R, knobs)
            slots = (rollout.slot for rollout in group.survivors())
            values = dict(zip(slots, advantage_G.tolist(), strict=True))
        assigned.append(_with_advantages(group, values))
    return tuple(assigned)


def count_signals(groups: Sequence[Group]) -> SignalCounts:
    """What the batch lost before the update saw it."""
    rewards = [group.rewards() for group in groups]
    alive = [rewards_G for rewards_G in rewards if len(rewards_G) >= 2]
    return SignalCounts(len(rewards) - len(alive), sum(not has_spread(r_G) for r_G in alive))


def has_spread(rewards_G: FloatArray) -> bool:
    """Whether rewards differ by more than ``ROUNDING``."""
    return bool(np.ptp(rewards_G) > ROUNDING)


def winsorized(rewards_G: FloatArray, mads: float | None) -> FloatArray:
    """Rewards capped at ``mads`` median absolute deviations from their median; None = as they are.

    A group of which half is equal has a MAD of 0: it stays as it is, or its signal would vanish.
    """
    if mads is None:
        return rewards_G
    median = np.median(rewards_G)
    reach = mads * np.median(np.abs(rewards_G - median))
    return np.clip(rewards_G, median - reach, median + reach) if reach > 0 else rewards_G


def _centred(group: Group, knobs: AdvantageKnobs) -> FloatArray | None:
    rewards_G = group.rewards()
    if len(rewards_G) < 2:
        return None
    capped_G = winsorized(rewards_G, knobs.winsorize_mad)
    if knobs.advantage == "ema":
        return capped_G
    if not has_spread(rewards_G):
        return None
    return np.asarray(capped_G - capped_G.mean())


def _scale(centred_G: FloatArray, pooled_R: FloatArray, knobs: AdvantageKnobs) -> float:
    if knobs.scale_rewards == "none" or knobs.advantage == "ema":
        return 1.0
    values = centred_G if knobs.scale_rewards == "group" else pooled_R
    return math.sqrt(float(np.mean(values**2))) + EPSILON


def _with_advantages(group: Group, values: Mapping[int, float]) -> Group:
    rollouts = (replace(rollout, advantage=values.get(rollout.slot)) for rollout in group.rollouts)
    return replace(group, rollouts=tuple(rollouts))
