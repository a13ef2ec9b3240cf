"""Thompson sampling within the family: how often each part belongs to the best action.

    w_l ~ N(mean, spread^2 s2 (A + ridge)^-1)        l = 1..L
    a_l = best action under w_l          what the draw would do if it were the truth
    mu = mean of 1{i in S_l}, p = mean of 1{t_l}, and eta with E[1_F | S_l] = 1_{F_l} on average
    mixed with ``floor`` of the uniform law; theta = the logits of these inclusion probabilities

This is the member of the family nearest to the law of the draws: the moments match, so it maximises
the draws' likelihood. So every action has an exact probability, which the draws alone have not.
The mode is then the best action under the mean: where moments rank another part higher, the best
action's part is lifted to it. That is what is deployed.

The L normal numbers are the same in every update: the step is a function of the statistics, moves
smoothly with them, and repeats bit by bit. A reference other than the uniform law enters as the
draws' mean before any reward: sqrt(6) / pi prior standard deviations per logit, which makes the
draws' best actions follow it (a normal in the place of the Gumbel whose argmax is the softmax).

Sources: Thompson 1933; Agrawal & Goyal 2013 (linear payoffs); Chen, Dempster & Liu 1994 (logits of
given inclusion probabilities). Left out, and why: a draw per slot (its probabilities are not known,
so the rollouts could not be used by any other solver or estimate); a temperature (``spread`` times
the posterior's width is one: a little more than 1, because the deployed action counts, not the
rewards on the way).
"""

import math
from functools import cache
from typing import NamedTuple

import numpy as np

from orchestrator import policy, subsets
from orchestrator.rollouts import Action, FloatArray, Params
from orchestrator.space import Space
from orchestrator.update.belief import Belief
from orchestrator.update.best import Best, best_actions

#: Draws of an update: without pairs a draw costs next to nothing, and with many concepts their
#: shares are small numbers.
DRAWS, DRAWS_OF_PAIRS = 1024, 256
#: Steps of the features' fixed point, as in ``subsets.theta_from_inclusion``.
STEPS = 15
#: How far the best action's parts stand above the others at least, in logits.
LEAD = 1e-6


class Explored(NamedTuple):
    """What to act by and, as its mode, what to deploy."""

    params: Params
    best: Action


def explore(
    belief: Belief, reference: Params, space: Space, floor: float, spread: float
) -> Explored:
    """The member of the family whose moments are those of the draws' best actions."""
    start_P = _start(belief, reference, space)
    mean_P = belief.mean_from(start_P)
    draws = DRAWS if len(mean_P) == space.d else DRAWS_OF_PAIRS
    steps_PL = spread * belief.steps(_normals(len(mean_P), draws))
    found = best_actions((mean_P[:, None] + steps_PL).T, space)
    best = best_actions(mean_P[None], space)
    params = policy.centred(_matched(found, space, floor))
    return Explored(_led(params, best, space), best.action(0))


def _start(belief: Belief, reference: Params, space: Space) -> FloatArray:
    start_P = np.zeros(len(belief.ridge))
    logits_d = policy.centred(reference).flat()
    prior_d = np.sqrt(belief.noise / belief.ridge[: space.d])
    start_P[: space.d] = math.sqrt(6) / math.pi * prior_d * logits_d
    return start_P


def _matched(found: Best, space: Space, floor: float) -> Params:
    mu_n = (1 - floor) * found.members.mean(axis=0) + floor * space.k / space.n
    chosen_LT = np.eye(space.T)[found.template]
    p_T = (1 - floor) * chosen_LT.mean(axis=0) + floor / space.T
    theta_n = subsets.theta_from_inclusion(mu_n * (space.k / mu_n.sum()), space.k)
    return Params(theta_n, np.log(p_T), _features(found, space, floor))


def _features(found: Best, space: Space, floor: float) -> FloatArray:
    """eta (m,) under which each feature is taken as often as in the draws, given their sets.

    Half a draw for and half against keeps what was always or never taken finite.
    """
    free_L = (found.offered.sum(axis=1) > space.f) & (space.f > 0)
    if not free_L.any():
        return np.zeros(space.m)
    offered_Fm, taken_Fm = found.offered[free_L], found.taken[free_L]
    uniform_Fm = offered_Fm * (space.f / offered_Fm.sum(axis=1, keepdims=True))
    wanted_m = ((1 - floor) * taken_Fm + floor * uniform_Fm).sum(axis=0)
    seen_m = offered_Fm.sum(axis=0)
    target_m = subsets.log_odds((wanted_m + 0.5) / (seen_m + 1))
    # Many draws choose the same concepts, and a set offers few of all features.
    _, first_U, count_U = np.unique(
        found.concepts[free_L], axis=0, return_index=True, return_counts=True
    )
    offered_Um = offered_Fm[first_U]
    at_Uw = np.argsort(-offered_Um, axis=1, kind="stable")[:, : int(offered_Um.sum(axis=1).max())]
    open_Uw = np.take_along_axis(offered_Um, at_Uw, axis=1) > 0
    eta_m = np.zeros(space.m)
    for _ in range(STEPS):
        logits_Uw = np.where(open_Uw, eta_m[at_Uw], -np.inf)
        reached_Uw = subsets.inclusion(logits_Uw, space.f) * count_U[:, None]
        sums_m = np.bincount(at_Uw.ravel(), weights=reached_Uw.ravel(), minlength=space.m)
        reached_m = subsets.log_odds((sums_m + 0.5) / (seen_m + 1))
        eta_m = eta_m + 0.5 * (target_m - reached_m)
    return eta_m


def _led(params: Params, best: Best, space: Space) -> Params:
    """The params with the best action as their mode."""
    templates_T = np.eye(space.T)[best.template[0]]
    return Params(
        _lifted(params.theta, best.members[0], np.ones(space.n)),
        _lifted(params.phi, templates_T, np.ones(space.T)),
        _lifted(params.eta, best.taken[0], best.offered[0]),
    )


def _lifted(logits: FloatArray, inside: FloatArray, among: FloatArray) -> FloatArray:
    """Logits of what is inside raised, where needed, above all others that it competes with."""
    rivals = logits[(among > 0) & (inside == 0)]
    if not rivals.size:
        return logits
    raised = np.where(inside > 0, np.maximum(logits, rivals.max() + LEAD), logits)
    return np.asarray(raised - raised.mean())


@cache
def _normals(size: int, draws: int) -> FloatArray:
    """Standard normal numbers (size, draws), by Box and Muller from a fixed stream."""
    half = draws // 2
    pairs_PU = policy.uniforms((0, 0, "thompson"), size, 2 * half)
    radius_PH = np.sqrt(-2 * np.log1p(-pairs_PU[:, :half]))
    angle_PH = 2 * math.pi * pairs_PU[:, half:]
    return np.concatenate([radius_PH * np.cos(angle_PH), radius_PH * np.sin(angle_PH)], axis=1)
