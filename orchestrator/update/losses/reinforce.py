"""REINFORCE: the score times the advantage, whoever acted.

    L = mean_j A_j log pi(a_j)

On-policy with one pass it is every other loss's gradient. Without a ratio, several passes or stale
rollouts push where the policy has been, not where it is. Source: Williams 1992; Ahmadian et al.
2024 for language models. Left out: importance weights (that is ``cispo``).
"""

import numpy as np

from orchestrator import policy
from orchestrator.algorithm import Clipped
from orchestrator.rollouts import Params
from orchestrator.space import Space
from orchestrator.update.batch import Batch
from orchestrator.update.losses.surrogate import Surrogate


def surrogate(params: Params, batch: Batch, knobs: Clipped, space: Space) -> Surrogate:
    """The surrogate and its gradient; nothing is ever clipped."""
    log_R = policy.log_prob(params, space, batch.actions)
    push_R = batch.advantages / len(batch.actions)
    gradient_d = push_R @ policy.score(params, space, batch.actions)
    return Surrogate(float(push_R @ log_R), gradient_d, np.zeros(len(log_R), dtype=np.bool_))
