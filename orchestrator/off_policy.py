"""What another policy would have earned, from rollouts that were drawn by earlier ones.

For a rollout a of group g, acted by version v: rho = pi(a) / pi_v(a), exact.

    SNIPS  V = sum h rho r / sum h rho
    DR     V = sum_g h_g [ E_pi q_g + mean_j rho_j (r_j - q_g(a_j)) ] / sum_g h_g
    ESS    (sum h rho)^2 / sum (h rho)^2            h = 1 / E_v[rho^2], the precision of a version

q_g(a) = b + w' stat(a): w by ridge regression on the groups of other examples (``FOLDS`` folds), b
the mean of r - w' stat over the other slots of the group, so that no reward predicts itself and the
prompts' difficulty cancels. h depends on the two policies alone, never on a reward of its step: a
step keeps its expectation, and steps that hardly tried what the policy does hardly count. The
intervals are Student's over groups, with as many degrees as the groups' weights are worth.

An estimate is refused where the overlap is too thin: the rollouts that count are too few
(``MIN_ESS``), or the mean weight, which is 1 in expectation, is not near 1, because the policy does
what was never or hardly tried. Sources: Swaminathan & Joachims 2015 (SNIPS); Dudik, Langford & Li
2011 (doubly robust); Hadad et al. 2021 (weights for adaptively collected data); Kong 1992 (ESS);
Chernozhukov et al. 2018 (cross-fitting).

Left out: weights by the mixture of all versions (balance heuristic): smaller variance, but which
versions there are depends on the rewards, and then its mean is not the policy's value. A policy
that was trained on these very rollouts is judged by data it has seen, and praised for its luck:
``replay`` trains it on one half and judges it by the other.

Arrays are named with their axes: R rollouts, P groups, d choices, K draws; pure numpy.
"""

import math
import zlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from orchestrator import policy
from orchestrator.intervals import Interval, t_interval
from orchestrator.rollouts import Action, FloatArray, Group, Params
from orchestrator.space import Space

FOLDS = 5
#: Actions of the policy by which the precision of a version is judged.
DRAWS = 256
#: Strength of the ridge in q, in rollouts.
RIDGE = 4.0
#: Effective rollouts below which nothing is said.
MIN_ESS = 50.0
#: The mean weight may be this many of its standard errors away from 1.
MAX_STRAY = 3.0
#: The largest share of all weight that one rollout may have.
MAX_SHARE = 0.1


class Target(NamedTuple):
    """The policy to be judged, in one domain."""

    params: Params
    #: Take the best action always, as deployed, instead of drawing.
    greedy: bool = False


class Overlap(NamedTuple):
    """How much of what the policy does was tried."""

    rollouts: int
    ess: float
    mean_weight: float
    largest_share: float

    @property
    def too_thin(self) -> str | None:
        """Why nothing can be said; None if something can."""
        stray = MAX_STRAY / math.sqrt(max(self.ess, 1.0))
        if self.largest_share > MAX_SHARE:
            return f"one rollout alone has {self.largest_share:.0%} of all weight"
        if self.ess < MIN_ESS:
            return (
                f"only {self.ess:.0f} of {self.rollouts} rollouts count (at least {MIN_ESS:.0f}"
                " are needed)"
            )
        if abs(self.mean_weight - 1) > stray:
            return (
                f"the mean weight is {self.mean_weight:.2f} instead of 1: the policy does what was"
                " hardly ever tried"
            )
        return None


class Estimate(NamedTuple):
    """The value of a policy by both estimators, and the overlap it rests on."""

    snips: Interval
    dr: Interval
    overlap: Overlap


class _Scored(NamedTuple):
    """One domain's groups of two survivors or more, as arrays."""

    rho_R: FloatArray
    reward_R: FloatArray
    #: Cross-fitted q of the rollout's own action, and of the policy.
    q_R: FloatArray
    expected_R: FloatArray
    #: Precision of the version that acted.
    h_R: FloatArray
    group_R: "np.typing.NDArray[np.int64]"


def estimate(
    groups: Sequence[Group], targets: Mapping[str, Target], spaces: Mapping[str, Space]
) -> Estimate | None:
    """The value over the prompts of these groups; None without two groups that count.

    The overlap may be too thin: then the numbers say nothing, and must not be shown.
    """
    scored, offset = [], 0
    for name, target in targets.items():
        own = [group for group in groups if group.domain == name and len(group.survivors()) >= 2]
        if own:
            scored.append(_scored(own, target, spaces[name], offset))
            offset += len(own)
    if offset < 2:
        return None
    rho_R, reward_R, q_R, expected_R, h_R, group_R = (
        np.concatenate(column) for column in zip(*scored, strict=True)
    )
    size_P = np.bincount(group_R)
    h_P = np.bincount(group_R, h_R) / size_P
    dr_P = np.bincount(group_R, expected_R + rho_R * (reward_R - q_R)) / size_P
    weighted_R = h_R * rho_R
    total = max(float(weighted_R.sum()), 1e-300)
    snips = float(weighted_R @ reward_R) / total
    # The ratio, linearised: its spread is the ratio's.
    share_P = np.bincount(group_R, weighted_R).astype(np.float64)
    beyond_P = np.bincount(group_R, weighted_R * (reward_R - snips)).astype(np.float64)
    dr = float(h_P @ dr_P / h_P.sum())
    return Estimate(
        _interval(snips, beyond_P, share_P),
        _interval(dr, h_P * (dr_P - dr), h_P),
        overlap(weighted_R, h_R),
    )


def averaged(one: Estimate, other: Estimate) -> Estimate:
    """The mean of two estimates from different groups."""
    both = one.overlap, other.overlap
    together = Overlap(
        sum(found.rollouts for found in both),
        4 / sum(1 / max(found.ess, 1e-9) for found in both),
        sum(found.mean_weight for found in both) / 2,
        max(found.largest_share for found in both) / 2,
    )
    return Estimate(_mean(one.snips, other.snips), _mean(one.dr, other.dr), together)


def _mean(one: Interval, other: Interval) -> Interval:
    value = (one.value + other.value) / 2
    reach = math.hypot(one.high - one.value, other.high - other.value) / 2
    return Interval(value, value - reach, value + reach)


def _interval(value: float, beyond_P: FloatArray, share_P: FloatArray) -> Interval:
    """A weighted mean over groups, with Student's t at as many groups as the weights are worth.

    The error is the jackknife's, a little wide for few groups (MacKinnon & White 1985).
    """
    total = max(float(share_P.sum()), 1e-300)
    worth = total**2 / max(float(share_P @ share_P), 1e-300)
    error = math.sqrt(float(beyond_P @ beyond_P)) / total * worth / max(worth - 1, 1e-9)
    return t_interval(value, error, math.floor(worth) - 1)


def overlap(weighted_R: FloatArray, h_R: FloatArray) -> Overlap:
    """What the weights h rho (R,), whose expectations are h (R,), say of the overlap."""
    total = float(weighted_R.sum())
    if total == 0:
        return Overlap(len(h_R), 0.0, 0.0, 1.0)
    # Shares first: the square of a tiny weight is 0.
    share_R = weighted_R / total
    ess = 1 / float(share_R @ share_R)
    return Overlap(len(h_R), ess, total / float(h_R.sum()), float(share_R.max()))


def _scored(groups: Sequence[Group], target: Target, space: Space, offset: int) -> _Scored:
    actions = [[r.action for r in group.survivors()] for group in groups]
    group_R = np.repeat(np.arange(len(groups)), [len(own) for own in actions])
    flat = [action for own in actions for action in own]
    rho_R = _weights(groups, group_R, flat, target, space)
    reward_R = np.concatenate([group.rewards() for group in groups])
    stat_Rd = _statistics(flat, space)
    w_Rd = _cross_fitted(groups, stat_Rd, reward_R, group_R)
    expected_d = _expected(target, space)
    gain_R = np.einsum("Rd,Rd->R", w_Rd, stat_Rd)
    left_R = reward_R - gain_R
    others_R = np.bincount(group_R)[group_R] - 1
    baseline_R = (np.bincount(group_R, left_R)[group_R] - left_R) / others_R
    h_P = _precisions(groups, target, space)
    return _Scored(
        rho_R,
        reward_R,
        baseline_R + gain_R,
        baseline_R + w_Rd @ expected_d,
        h_P[group_R],
        group_R + offset,
    )


def _precisions(groups: Sequence[Group], target: Target, space: Space) -> FloatArray:
    """h = 1 / E_v[rho^2] = 1 / E_pi[rho] of the version that acted in each group, (P,)."""
    if target.greedy:
        likely = [policy.greedy(target.params, space)]
        log_prob_K = np.zeros(1)
    else:
        stream = policy.uniforms((0, 0, "off_policy"), DRAWS, space.uniforms_needed)
        drawn = policy.draw(target.params, space, stream)
        likely, log_prob_K = list(drawn.actions), drawn.log_prob_G
    by_version: dict[int, float] = {}
    for group in groups:
        if group.policy_version not in by_version:
            acted_K = policy.log_prob(group.acted, space, likely)
            squares = float(np.mean(np.exp(np.minimum(log_prob_K - acted_K, 700.0))))
            by_version[group.policy_version] = 1 / squares
    return np.array([by_version[group.policy_version] for group in groups])


def _weights(
    groups: Sequence[Group],
    group_R: "np.typing.NDArray[np.int64]",
    actions: Sequence[Action],
    target: Target,
    space: Space,
) -> FloatArray:
    """rho, (R,): the probability under the target by that under the version that acted."""
    acted_R = np.empty(len(actions))
    version_R = np.array([group.policy_version for group in groups])[group_R]
    params = {group.policy_version: group.acted for group in groups}
    for version, acted in params.items():
        rows = np.flatnonzero(version_R == version)
        acted_R[rows] = policy.log_prob(acted, space, [actions[row] for row in rows.tolist()])
    if target.greedy:
        best = policy.greedy(target.params, space)
        same_R = np.array([action == best for action in actions])
        return np.asarray(np.where(same_R, np.exp(-acted_R), 0.0))
    return np.asarray(np.exp(policy.log_prob(target.params, space, actions) - acted_R))


def _statistics(actions: Sequence[Action], space: Space) -> FloatArray:
    """[1_S | 1_t | 1_F], (R, d)."""
    stat_Rd: FloatArray = np.zeros((len(actions), space.d))
    for row, action in enumerate(actions):
        features = (space.n + space.T + feature for feature in action.features)
        stat_Rd[row, [*action.concepts, space.n + action.template, *features]] = 1
    return stat_Rd


def _expected(target: Target, space: Space) -> FloatArray:
    """E[stat] under the target, (d,)."""
    if target.greedy:
        return np.asarray(_statistics([policy.greedy(target.params, space)], space)[0])
    return np.concatenate(
        [
            policy.inclusion(target.params, space),
            policy.template_probabilities(target.params),
            policy.feature_probabilities(target.params, space),
        ]
    )


def _cross_fitted(
    groups: Sequence[Group],
    stat_Rd: FloatArray,
    reward_R: FloatArray,
    group_R: "np.typing.NDArray[np.int64]",
) -> FloatArray:
    """Per rollout the w that was fitted without its example, (R, d)."""
    size_P = np.bincount(group_R)
    means_Pd = np.zeros((len(groups), stat_Rd.shape[1]))
    np.add.at(means_Pd, group_R, stat_Rd)
    z_Rd = stat_Rd - (means_Pd / size_P[:, None])[group_R]
    y_R = reward_R - (np.bincount(group_R, reward_R) / size_P)[group_R]
    fold_P = np.array([zlib.crc32(group.example.id.encode()) % FOLDS for group in groups])
    fold_R = fold_P[group_R]
    w_Rd = np.zeros_like(stat_Rd)
    for fold in set(fold_R.tolist()):
        others, own = fold_R != fold, fold_R == fold
        A_dd = z_Rd[others].T @ z_Rd[others] + RIDGE * np.eye(z_Rd.shape[1])
        w_Rd[own] = np.linalg.solve(A_dd, z_Rd[others].T @ y_R[others])
    return w_Rd
