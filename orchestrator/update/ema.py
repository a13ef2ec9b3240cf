"""A running baseline across steps instead of the group's mean: REINFORCE's oldest one.

    A_j = (r_j - m) / (s + 1e-4)            m, s^2: running mean and variance of the rewards
    m <- 0.9 m + 0.1 mean r                 s^2 <- 0.9 s^2 + 0.1 mean (r - m)^2

The first batch is its own baseline; ``scale_rewards = none`` leaves out s. A prompt's difficulty
does not cancel, so use it only where prompts are equally hard or groups would be tiny. Source:
Williams 1992; with language models Hu 2025 (REINFORCE++). Left out: a baseline per prompt (that is
the group's mean).
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from orchestrator.advantages import EPSILON
from orchestrator.algorithm import Clipped
from orchestrator.rollouts import FloatArray

#: What a batch leaves of the past.
DECAY = 0.9


class Baseline(NamedTuple):
    """Running mean and variance of the rewards, shape ()."""

    reward_mean: FloatArray
    reward_variance: FloatArray


class Compared(NamedTuple):
    """The advantages, and the baseline of the next step."""

    advantages: FloatArray
    baseline: Baseline


def compared(rewards_R: FloatArray, state: Mapping[str, FloatArray], knobs: Clipped) -> Compared:
    """Rewards against the baseline in a domain's state."""
    if "reward_mean" in state:
        old = Baseline(state["reward_mean"], state["reward_variance"])
    else:
        old = Baseline(np.array(rewards_R.mean()), np.array(rewards_R.var()))
    above_R = rewards_R - old.reward_mean
    spread = 1.0 if knobs.scale_rewards == "none" else math.sqrt(old.reward_variance) + EPSILON
    new = Baseline(
        old.reward_mean + (1 - DECAY) * above_R.mean(),
        DECAY * old.reward_variance + (1 - DECAY) * np.mean(above_R**2),
    )
    return Compared(above_R / spread, new)
