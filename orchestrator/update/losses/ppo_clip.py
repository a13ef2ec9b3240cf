"""PPO's clip on the ratio of the whole action: a rollout beyond the clip pushes nothing.

    L = mean_j min(rho_j A_j, clip(rho_j, 1 - epsilon, 1 + epsilon_high) A_j)
    rho = pi / pi_acted

One ratio per rollout: an action is drawn as a whole. Sources: Schulman et al. 2017; Shao et al.
2024 (GRPO); Yu et al. 2025 (DAPO: the upper bound apart). Left out: the dual clip for negative
advantages (Ye et al. 2020), which bounds what a stale batch can do: ``gspo`` and ``cispo`` do.
"""

import numpy as np

from orchestrator import policy
from orchestrator.algorithm import Clipped
from orchestrator.rollouts import Params
from orchestrator.space import Space
from orchestrator.update.batch import Batch
from orchestrator.update.losses.surrogate import Surrogate


def surrogate(params: Params, batch: Batch, knobs: Clipped, space: Space) -> Surrogate:
    """The clipped surrogate and its gradient."""
    ratio_R = np.exp(policy.log_prob(params, space, batch.actions) - batch.log_probs)
    above_R = (batch.advantages > 0) & (ratio_R > 1 + knobs.epsilon_high)
    below_R = (batch.advantages < 0) & (ratio_R < 1 - knobs.epsilon)
    clipped_R = above_R | below_R
    bound_R = np.clip(ratio_R, 1 - knobs.epsilon, 1 + knobs.epsilon_high)
    terms_R = np.where(clipped_R, bound_R, ratio_R) * batch.advantages
    push_R = np.where(clipped_R, 0.0, ratio_R * batch.advantages) / len(batch.actions)
    gradient_d = push_R @ policy.score(params, space, batch.actions)
    return Surrogate(float(terms_R.mean()), gradient_d, clipped_R)
