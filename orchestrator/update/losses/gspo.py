"""GSPO: the clip on the geometric mean of the parts' ratios.

    s = (pi / pi_acted)^(1 / |a|)      |a| = concepts + 1 + features of the action
    L = mean_j min(s_j A_j, clip(s_j, 1 - epsilon, 1 + epsilon_high) A_j)

The joint ratio of many parts leaves any clip after a few steps; its |a|-th root does not, so that
stale rollouts still teach. Source: Zheng et al. 2025, with tokens as parts. Its clip is for
thousands of tokens (0.0003); here parts are few and the knobs' own bounds serve. Left out: the
token-wise variant, which equals this where all parts of a rollout share one advantage.
"""

import numpy as np

from orchestrator import policy
from orchestrator.algorithm import Clipped
from orchestrator.rollouts import Params
from orchestrator.space import Space
from orchestrator.update.batch import Batch
from orchestrator.update.losses.surrogate import Surrogate


def surrogate(params: Params, batch: Batch, knobs: Clipped, space: Space) -> Surrogate:
    """The surrogate and its gradient: d s = s / |a| d log pi."""
    parts_R = np.array([len(a.concepts) + 1 + len(a.features) for a in batch.actions])
    moved_R = policy.log_prob(params, space, batch.actions) - batch.log_probs
    ratio_R = np.exp(moved_R / parts_R)
    above_R = (batch.advantages > 0) & (ratio_R > 1 + knobs.epsilon_high)
    below_R = (batch.advantages < 0) & (ratio_R < 1 - knobs.epsilon)
    clipped_R = above_R | below_R
    bound_R = np.clip(ratio_R, 1 - knobs.epsilon, 1 + knobs.epsilon_high)
    terms_R = np.where(clipped_R, bound_R, ratio_R) * batch.advantages
    push_R = np.where(clipped_R, 0.0, ratio_R * batch.advantages / parts_R) / len(batch.actions)
    gradient_d = push_R @ policy.score(params, space, batch.actions)
    return Surrogate(float(terms_R.mean()), gradient_d, clipped_R)
