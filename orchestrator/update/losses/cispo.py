"""CISPO: importance weights that are cut off, per factor, and never a gradient that is.

    L = mean_j A_j sum_f stop(min(rho_jf, 1 + epsilon_high)) log pi_f(a_j)
    f: concepts, template, features

``stop``: the weight is a constant of the gradient. A rollout beyond the bound keeps teaching, with
a weight that stops growing, and a factor that moved far does not silence the others. Source:
MiniMax-M1 2025, with factors in the place of tokens, without its lower bound as there. The value
is relative to the uniform law (a constant apart). Left out: nothing.
"""

import numpy as np

from orchestrator import policy
from orchestrator.algorithm import Clipped
from orchestrator.rollouts import Params
from orchestrator.space import Space
from orchestrator.update.batch import Batch, factor_log_probs
from orchestrator.update.losses.surrogate import Surrogate


def surrogate(params: Params, batch: Batch, knobs: Clipped, space: Space) -> Surrogate:
    """The surrogate and its gradient with the weights held."""
    assert batch.factors is not None, "cispo needs each factor's log-probability under the actor"
    log_R3 = factor_log_probs(params, space, batch.actions)
    ratio_R3 = np.exp(log_R3 - batch.factors)
    weight_R3 = np.minimum(ratio_R3, 1 + knobs.epsilon_high) * batch.advantages[:, None]
    factor_d = np.repeat([0, 1, 2], [space.n, space.T, space.m])
    score_Rd = policy.score(params, space, batch.actions)
    gradient_d = (weight_R3[:, factor_d] * score_Rd).mean(axis=0)
    value = float((weight_R3 * log_R3).sum(axis=1).mean())
    return Surrogate(value, gradient_d, np.any(ratio_R3 > 1 + knobs.epsilon_high, axis=1))
