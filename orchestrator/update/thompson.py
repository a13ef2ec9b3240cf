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
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from orchestrator import policy, subsets
from orchestrator.rollouts import Action, FloatArray, IntArray, Params
from orchestrator.space import Offered, Space
from orchestrator.update.belief import Belief
from orchestrator.update.best import Best, Sets, best_actions, best_sets, with_features

#: Draws of an update: without pairs a draw costs next to nothing, and with many concepts their
#: shares are small numbers. A set offers a few features: fewer draws tell them apart.
DRAWS, DRAWS_OF_PAIRS, DRAWS_OF_FEATURES = 1024, 256, 256
#: Steps of the features' fixed point, as in ``subsets.theta_from_inclusion``.
STEPS = subsets.STEPS * 4
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
    mean_P = belief.mean_from(_start(belief, reference, space))
    sets = _best_sets_of_draws(belief, mean_P, space, spread)
    some = Sets(sets.concepts[:DRAWS_OF_FEATURES], sets.template[:DRAWS_OF_FEATURES])
    first, d = space.n + space.T, space.d
    normals_LP = _normals(len(mean_P), len(sets.template))[:DRAWS_OF_FEATURES]
    feature_Lm = mean_P[first:d] + spread * belief.steps(normals_LP, first, d)
    found = with_features(some, feature_Lm, space)
    theta_n, phi_T = _matched(sets, space, floor)
    params = policy.centred(Params(theta_n, phi_T, _features(found, space, floor)))
    best = best_actions(mean_P[None], space)
    return Explored(_led(params, best.action(0), best.offered.at[0], space), best.action(0))


def _best_sets_of_draws(belief: Belief, mean_P: FloatArray, space: Space, spread: float) -> Sets:
    first, d, size = space.n + space.T, space.d, len(mean_P)
    if size == d:
        normals_LP = _normals(size, DRAWS)
        drawn_LC = mean_P[:first] + spread * belief.steps(normals_LP, 0, first)
        return best_sets(drawn_LC, np.zeros((DRAWS, 0)), space)
    drawn_LP = mean_P + spread * belief.steps(_normals(size, DRAWS_OF_PAIRS), 0, size)
    return best_sets(drawn_LP[:, :first], drawn_LP[:, d:], space)


def _start(belief: Belief, reference: Params, space: Space) -> FloatArray:
    start_P = np.zeros(len(belief.ridge))
    logits_d = policy.centred(reference).flat()
    prior_d = np.sqrt(belief.noise / belief.ridge[: space.d])
    start_P[: space.d] = math.sqrt(6) / math.pi * prior_d * logits_d
    return start_P


def _matched(sets: Sets, space: Space, floor: float) -> tuple[FloatArray, FloatArray]:
    """theta (n,) and phi (T,) under which parts are as frequent as in the sets."""
    draws = len(sets.template)
    share_n = np.bincount(sets.concepts.ravel(), minlength=space.n) / draws
    mu_n = (1 - floor) * share_n + floor * space.k / space.n
    p_T = (1 - floor) * np.bincount(sets.template, minlength=space.T) / draws + floor / space.T
    return subsets.theta_from_inclusion(mu_n * (space.k / mu_n.sum()), space.k), np.log(p_T)


def _features(found: Best, space: Space, floor: float) -> FloatArray:
    """eta (m,) under which each feature is taken as often as in the draws, given their sets.

    Half a draw for and half against keeps what was always or never taken finite.
    """
    free_L = (found.offered.open.sum(axis=1) > space.f) & (space.f > 0)
    if not free_L.any():
        return np.zeros(space.m)
    offered = Offered(found.offered.at[free_L], found.offered.open[free_L])
    open_Fw = offered.open.astype(np.float64)
    uniform_Fw = open_Fw * (space.f / open_Fw.sum(axis=1, keepdims=True))
    wanted_Fw = (1 - floor) * found.taken[free_L] + floor * uniform_Fw
    seen_m = offered.summed(open_Fw, space.m)
    target_m = subsets.log_odds((offered.summed(wanted_Fw, space.m) + 0.5) / (seen_m + 1))
    eta_m = np.zeros(space.m)
    for step in STEPS:
        logits_Fw = np.where(offered.open, eta_m[offered.at], -np.inf)
        sums_m = offered.summed(subsets.inclusion(logits_Fw, space.f), space.m)
        eta_m = eta_m + step * (target_m - subsets.log_odds((sums_m + 0.5) / (seen_m + 1)))
    return eta_m


def _led(params: Params, best: Action, offered_w: IntArray, space: Space) -> Params:
    """The params with the best action as their mode."""
    return Params(
        _lifted(params.theta, best.concepts, np.arange(space.n)),
        _lifted(params.phi, (best.template,), np.arange(space.T)),
        _lifted(params.eta, best.features, offered_w),
    )


def _lifted(logits: FloatArray, inside: Sequence[int], among: IntArray) -> FloatArray:
    """Logits of what is inside raised, where needed, above all others that it competes with."""
    rivals = np.setdiff1d(among, inside)
    if not rivals.size:
        return logits
    raised = logits.copy()
    raised[list(inside)] = np.maximum(logits[list(inside)], logits[rivals].max() + LEAD)
    return np.asarray(raised - raised.mean())


@cache
def _normals(size: int, draws: int) -> NDArray[np.float32]:
    """Standard normal numbers (draws, size), by Box and Muller from a fixed stream."""
    half = draws // 2
    pairs_PU = policy.uniforms((0, 0, "thompson"), size, 2 * half)
    radius_PH = np.sqrt(-2 * np.log1p(-pairs_PU[:, :half]))
    angle_PH = 2 * math.pi * pairs_PU[:, half:]
    both_PL = [radius_PH * np.cos(angle_PH), radius_PH * np.sin(angle_PH)]
    return np.ascontiguousarray(np.concatenate(both_PL, axis=1).T, dtype=np.float32)
