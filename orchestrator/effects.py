"""What each choice is worth: one regression per domain over every rollout that was ever paid for.

For every group, acted by whatever version of the policy, over its survivors:

    y = r - mean r        z = score(a) - mean score        (the prompt's difficulty cancels)
    w = (Z'Z + lambda I)^-1 Z'y        V = s2 (Z'Z + lambda I)^-1        lambda by evidence

as in ``update.natural`` without forgetting, for the reward and for each of its parts. The score of
a feature is 1_F - E[1_F | S] under the params that acted: no concept is credited with the features
that it makes available. An effect is the gain from asking for this instead of an average other
choice of its kind, so each kind's effects are centred. Where few rollouts speak, the ridge draws
an effect towards 0; the interval is that of the Gaussian belief.

Pairs: what two choices bring together beyond their single effects, each by a regression of what
the single effects leave over; shown are those that survive Benjamini & Hochberg (1995) at 5% over
all pairs seen often enough. Sources: MacKay 1992 (evidence); Frisch, Waugh & Lovell (partialling).

Arrays are named with their axes: R rollouts, d parameters, L ridges, Q pairs; pure numpy.
"""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from orchestrator import policy
from orchestrator.intervals import CONFIDENCE, Interval
from orchestrator.rollouts import ROUNDING, Action, FloatArray, Group, Rollout
from orchestrator.space import Space

RIDGES_L = np.logspace(-2, 3, 51)
#: Rollouts with both choices that a pair needs to be looked at.
PAIR_ROLLOUTS = 8
FALSE_DISCOVERIES = 0.05
REWARD = "reward"


class Effect(NamedTuple):
    """One choice: its effect on the reward and on each part, and the rollouts that had it."""

    reward: Interval
    parts: Mapping[str, Interval]
    rollouts: int


class Pair(NamedTuple):
    """Two choices, as indices into [concepts | templates | features], and what they add."""

    first: int
    second: int
    reward: Interval
    rollouts: int


class Effects(NamedTuple):
    """What the rollouts of one domain say. Made by ``estimate``."""

    #: In the order [concepts | templates | features].
    choices: tuple[Effect, ...]
    #: The largest first.
    pairs: tuple[Pair, ...]
    #: Rollouts in groups of two survivors or more.
    rollouts: int
    #: Spread of the reward that no choice explains, within a prompt.
    noise_std: float


class _Design(NamedTuple):
    actions: tuple[Action, ...]
    #: Row -> its group.
    group_R: "np.typing.NDArray[np.int64]"
    z_Rd: FloatArray


class _Fit(NamedTuple):
    w_d: FloatArray
    noise: float
    ridge: float


def estimate(groups: Sequence[Group], space: Space) -> Effects:
    """The effects in one domain. Without any group of two survivors: all 0, intervals (0, 0)."""
    alive = [group for group in groups if len(group.survivors()) >= 2]
    if not alive:
        none = Effect(Interval(0.0, 0.0, 0.0), {}, 0)
        return Effects((none,) * space.d, (), 0, 0.0)
    design = _design(alive, space)
    values_d, vectors_dd = np.linalg.eigh(design.z_Rd.T @ design.z_Rd)
    eigen = np.maximum(values_d, 0.0), vectors_dd
    freedom = len(design.actions) - len(alive)
    survivors = [rollout for group in alive for rollout in group.survivors()]
    targets = _targets(survivors)
    y = {name: _centred(values_R, design.group_R) for name, values_R in targets.items()}
    fits = {name: _fit(design.z_Rd, y_R, eigen, freedom) for name, y_R in y.items()}
    intervals = {name: _intervals(fit, eigen, space) for name, fit in fits.items()}
    counts_d = _members(design.actions, space).sum(axis=0)
    choices = tuple(
        Effect(
            intervals[REWARD][i],
            {name: each[i] for name, each in intervals.items() if name != REWARD},
            int(counts_d[i]),
        )
        for i in range(space.d)
    )
    pairs = _pairs(design, y[REWARD], fits[REWARD], eigen, space)
    return Effects(choices, pairs, len(survivors), math.sqrt(fits[REWARD].noise))


def _design(alive: Sequence[Group], space: Space) -> _Design:
    actions, rows, owners = list[Action](), list[FloatArray](), list[int]()
    for number, group in enumerate(alive):
        own = [rollout.action for rollout in group.survivors()]
        score_Gd = policy.score(group.acted, space, own)
        rows.append(score_Gd - score_Gd.mean(axis=0))
        actions += own
        owners += [number] * len(own)
    return _Design(tuple(actions), np.array(owners, dtype=np.int64), np.concatenate(rows))


def _targets(survivors: Sequence[Rollout]) -> dict[str, FloatArray]:
    """The reward and each part that every rollout has, (R,)."""
    rewards = [rollout.reward for rollout in survivors if rollout.reward is not None]
    names = [n for n in rewards[0].parts if all(n in reward.parts for reward in rewards)]
    parts = {name: np.array([reward.parts[name] for reward in rewards]) for name in names}
    return {REWARD: np.array([reward.value for reward in rewards]), **parts}


def _centred(values_R: FloatArray, group_R: "np.typing.NDArray[np.int64]") -> FloatArray:
    """Values (R, ...) less their group's mean."""
    sizes = np.bincount(group_R)
    sums = np.zeros((len(sizes), *values_R.shape[1:]))
    np.add.at(sums, group_R, values_R)
    means = sums / sizes.reshape(-1, *[1] * (values_R.ndim - 1))
    above_R = values_R - means[group_R]
    return np.where(np.abs(above_R) > ROUNDING, above_R, 0.0)


def _fit(
    z_Rd: FloatArray, y_R: FloatArray, eigen: tuple[FloatArray, FloatArray], freedom: int
) -> _Fit:
    """The regression at the ridge of the largest evidence."""
    eigenvalues_d, basis_dd = eigen
    seen_d = basis_dd.T @ (z_Rd.T @ y_R)
    shrunk_Ld = 1 / (eigenvalues_d + RIDGES_L[:, None])
    total = float(y_R @ y_R)
    residual_L = np.maximum(total - shrunk_Ld @ seen_d**2, 1e-12 * total + 1e-300)
    noise_L = residual_L / freedom
    complexity_L = np.log1p(eigenvalues_d / RIDGES_L[:, None]).sum(axis=1)
    best = int(np.argmax(-0.5 * (freedom * np.log(noise_L) + complexity_L)))
    w_d = basis_dd @ (shrunk_Ld[best] * seen_d)
    # The evidence's noise counts no parameter as fitted: too small for intervals.
    spent = float((eigenvalues_d * shrunk_Ld[best]).sum())
    left = max(float(np.sum((y_R - z_Rd @ w_d) ** 2)), 1e-12 * total)
    return _Fit(w_d, left / max(freedom - spent, 1.0), float(RIDGES_L[best]))


def _intervals(
    fit: _Fit, eigen: tuple[FloatArray, FloatArray], space: Space
) -> tuple[Interval, ...]:
    """Each kind's effects, centred, with the interval of the centred effect."""
    eigenvalues_d, basis_dd = eigen
    centring_dd = _centring(space)
    rotated_dd = centring_dd @ basis_dd
    variance_d = fit.noise * (rotated_dd**2 @ (1 / (eigenvalues_d + fit.ridge)))
    reach_d = NormalDist().inv_cdf((1 + CONFIDENCE) / 2) * np.sqrt(variance_d)
    w_d = centring_dd @ fit.w_d
    return tuple(
        Interval(value, value - reach, value + reach)
        for value, reach in zip(w_d.tolist(), reach_d.tolist(), strict=True)
    )


def _centring(space: Space) -> FloatArray:
    matrix_dd = np.eye(space.d)
    start = 0
    for size in (space.n, space.T, space.m):
        matrix_dd[start : start + size, start : start + size] -= 1 / max(size, 1)
        start += size
    return matrix_dd


def _members(actions: Sequence[Action], space: Space) -> FloatArray:
    """Which choices an action holds: 0 or 1, (R, d)."""
    members_Rd = np.zeros((len(actions), space.d))
    for row, action in enumerate(actions):
        members_Rd[row, list(_choices(action, space))] = 1
    return members_Rd


def _choices(action: Action, space: Space) -> Iterator[int]:
    yield from action.concepts
    yield space.n + action.template
    yield from (space.n + space.T + feature for feature in action.features)


def _pairs(
    design: _Design,
    y_R: FloatArray,
    fit: _Fit,
    eigen: tuple[FloatArray, FloatArray],
    space: Space,
) -> tuple[Pair, ...]:
    """The pairs of concepts, and of a concept and a template, that add something of their own."""
    counts: dict[tuple[int, int], int] = {}
    for action in design.actions:
        own = [*action.concepts, space.n + action.template]
        for pair in itertools.combinations(own, 2):
            counts[pair] = counts.get(pair, 0) + 1
    candidates = sorted(pair for pair, count in counts.items() if count >= PAIR_ROLLOUTS)
    if not candidates:
        return ()
    members_Rd = _members(design.actions, space)
    left_R = y_R - design.z_Rd @ fit.w_d
    tested = []
    for start in range(0, len(candidates), 256):
        chunk = candidates[start : start + 256]
        first, second = np.array(chunk).T
        together_RQ = _centred(members_Rd[:, first] * members_Rd[:, second], design.group_R)
        beyond_RQ = together_RQ - design.z_Rd @ _regressed(design.z_Rd, together_RQ, eigen, fit)
        size_Q = (beyond_RQ**2).sum(axis=0)
        for pair, size, along in zip(chunk, size_Q, beyond_RQ.T @ left_R, strict=True):
            # A pair that the single choices determine says nothing of its own.
            if size > 0.05 * counts[pair]:
                tested.append((pair, float(along / size), math.sqrt(fit.noise / float(size))))
    return _discoveries(tested, counts)


def _regressed(
    z_Rd: FloatArray, x_RQ: FloatArray, eigen: tuple[FloatArray, FloatArray], fit: _Fit
) -> FloatArray:
    eigenvalues_d, basis_dd = eigen
    seen_dQ = basis_dd.T @ (z_Rd.T @ x_RQ)
    return np.asarray(basis_dd @ (seen_dQ / (eigenvalues_d + fit.ridge)[:, None]))


def _discoveries(
    tested: Sequence[tuple[tuple[int, int], float, float]], counts: Mapping[tuple[int, int], int]
) -> tuple[Pair, ...]:
    normal = NormalDist()
    # Without any noise an effect is either nothing or beyond doubt.
    p_value = {
        pair: 2 * normal.cdf(-abs(value) / error) if error > 0 else float(value == 0)
        for pair, value, error in tested
    }
    ranked = sorted(p_value.values())
    passed = [p for i, p in enumerate(ranked, 1) if p <= FALSE_DISCOVERIES * i / len(ranked)]
    reach = normal.inv_cdf((1 + CONFIDENCE) / 2)
    found = [
        Pair(*pair, Interval(value, value - reach * error, value + reach * error), counts[pair])
        for pair, value, error in tested
        if passed and p_value[pair] <= passed[-1]
    ]
    return tuple(sorted(found, key=lambda pair: -abs(pair.reward.value)))
