"""The natural gradient with the exact Fisher matrix, damped.

    step = (F + damping I)^-1 g
    F = Cov of the score, in blocks: Cov(1_S), diag(p) - p p', mean over the actions of Cov(1_F | S)

Steps are measured in KL, not in logits: with ``max_kl`` they end where the exact KL says so. At one
pass the direction is the regression of the advantages on the score, as in ``natural``, from this
batch alone. Sources: Amari 1998; Kakade 2001; Schulman et al. 2015 (trust region). Left out:
conjugate gradients (the blocks are small: n, T and m), Hajek's approximation for large n.
"""

from collections.abc import Sequence

import numpy as np

from orchestrator import policy, subsets
from orchestrator.rollouts import Action, FloatArray, Params
from orchestrator.space import Space
from orchestrator.update.optimizers.moments import Downhill, Moments, Step


def step(downhill: Downhill, old: Moments) -> Step:
    """The gradient in the geometry of the policy."""
    matrix_dd = fisher(downhill.params, downhill.space, downhill.actions)
    matrix_dd += downhill.damping * np.eye(len(matrix_dd))
    direction_d = np.linalg.solve(matrix_dd, downhill.gradient_d)
    return Step(np.asarray(direction_d, np.float64), old._replace(steps=old.steps + 1))


def fisher(params: Params, space: Space, actions: Sequence[Action]) -> FloatArray:
    """Cov of the score (d, d), a block for each factor; features at the actions' concept sets."""
    n, templates = space.n, space.T
    matrix_dd = np.zeros((space.d, space.d))
    matrix_dd[:n, :n] = _covariance(params.theta, space.k)
    p_T = policy.template_probabilities(params)
    matrix_dd[n : n + templates, n : n + templates] = np.diag(p_T) - np.outer(p_T, p_T)
    chosen_Rn = np.zeros((len(actions), n), dtype=np.bool_)
    for row, action in enumerate(actions):
        chosen_Rn[row, list(action.concepts)] = True
    offered_Um, count_U = np.unique(space.candidates(chosen_Rn), axis=0, return_counts=True)
    for offered_m, count in zip(offered_Um, count_U.tolist(), strict=True):
        inside = np.flatnonzero(offered_m)
        if space.f and len(inside) > space.f:
            block = _covariance(params.eta[inside], space.f) * count / len(actions)
            matrix_dd[np.ix_(n + templates + inside, n + templates + inside)] += block
    return matrix_dd


def _covariance(logits_n: FloatArray, k: int) -> FloatArray:
    """Cov(1_S) of one law, (n, n): its product with every unit vector."""
    unit_nn = np.eye(len(logits_n))
    return subsets.covariance_times(np.broadcast_to(logits_n, unit_nn.shape), k, unit_nn)
