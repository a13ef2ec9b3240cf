"""What each choice is worth: regressions per domain over every rollout that was ever paid for.

For every group, acted by whatever version of the policy, over its survivors:

    y = r - mean r        z = score(a) - mean score        (the prompt's difficulty cancels)
    w = (Z'Z)^+ Z'y       for the reward and for each of its parts

The score of a feature is 1_F - E[1_F | S] under the params that acted: no concept is credited with
the features that it makes available. An effect is the gain from asking for this instead of an
average other choice of its kind, so each kind's effects are centred. Scores of different kinds are
uncorrelated whatever acted, so where rollouts are too few for one regression on all, each kind has
its own, and the others are noise to it.

An interval is Student's t times the larger of two errors: that of equal noise, with the degrees of
freedom that are left, and that of the jackknife (HC3, for rewards of 0 and 1 and for effects
that are not sums), with as many as the rollouts that speak for this effect are worth. Nothing is
shrunk: an effect means the same after 24 rollouts as after 24,000. **Nothing is said** (None) with
fewer than ``ENOUGH`` degrees of freedom, of an effect that the rollouts do not determine, and where
no two rewards of a prompt differ. Actions that follow earlier rewards bias a regression a little;
``tests.benchmarks.honesty`` measures how often all this holds.

An effect is *clear* if it survives Benjamini & Hochberg (1995) at 2% among all choices of its
domain: where many are, about 1% of them have the wrong sign (Benjamini & Yekutieli 2005).

Pairs: what two choices bring together beyond their single effects, each by a regression of what
the single effects leave over; shown are those that survive the same at 5% among all pairs seen
often enough.
Sources: White 1980, MacKinnon & White 1985 (HC3); Satterthwaite 1946; Frisch, Waugh & Lovell.
Left out: a ridge (a shrunk effect has no interval that holds for it); a cluster's error by prompt
(an effect that differs from prompt to prompt is that of the prompts that were asked).

Arrays are named with their axes: R rollouts, d parameters, c columns and r axes of a regression,
E effects, Q pairs; pure numpy.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np

from orchestrator import policy
from orchestrator.intervals import CONFIDENCE, Interval, t_below, t_quantile
from orchestrator.rollouts import ROUNDING, Action, FloatArray, Group, IntArray, Rollout
from orchestrator.space import Space

#: Degrees of freedom that a regression must leave over.
ENOUGH = 8
#: Student's t is that of so many at most, which is a little wide.
MOST_FREEDOM = 200
#: Eigenvalues of this share of the largest are 0.
SINGULAR = 1e-9
#: The least share of a rollout's noise that its residual is thought to have kept.
LEAST_LEFT = 0.05
#: Rollouts with both choices that a pair needs to be looked at, and pairs that are: the most seen.
PAIR_ROLLOUTS, MOST_PAIRS = 8, 2_000
#: False ones among those told: single effects, pairs.
FALSE_EFFECTS, FALSE_PAIRS = 0.02, 0.05
#: Effects, and pairs, whose weights on all rollouts are held at a time.
AT_ONCE = 128
REWARD = "reward"


class Estimate(NamedTuple):
    """An effect, its 95% interval, and whether it is clear among all that were looked at."""

    value: float
    low: float
    high: float
    clear: bool


class Effect(NamedTuple):
    """One choice: its effect on the reward and on each part, and the rollouts that had it."""

    #: None: too little is known to say anything.
    reward: Estimate | None
    #: Without the parts of which nothing can be said.
    parts: Mapping[str, Estimate]
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
    group_R: IntArray
    z_Rd: FloatArray
    #: Rollouts without their groups' means.
    freedom: int


class _Regression(NamedTuple):
    """One regression: its columns, their axes, and the rollouts along these (orthonormal)."""

    columns: slice
    axes_cr: FloatArray
    roots_r: FloatArray
    along_Rr: FloatArray
    freedom: int
    #: The share of each rollout's noise that is left in its residual.
    left_R: FloatArray

    def residual(self, y_R: FloatArray) -> FloatArray:
        """What the columns do not explain."""
        return np.asarray(y_R - self.along_Rr @ (self.along_Rr.T @ y_R))

    def determined(self, contrast_Ec: FloatArray) -> FloatArray:
        """Which sums of coefficients the rollouts determine, (E,) of booleans."""
        seen_Ec = (contrast_Ec @ self.axes_cr) @ self.axes_cr.T
        return np.asarray(np.abs(contrast_Ec - seen_Ec).max(axis=1) < 1e-6)


class _Found(NamedTuple):
    value: float
    reach: float
    p_value: float


def estimate(groups: Sequence[Group], space: Space) -> Effects:
    """The effects in one domain; of each nothing is said (None) where too little is known."""
    alive = [group for group in groups if len(group.survivors()) >= 2]
    if not alive:
        return Effects((Effect(None, {}, 0),) * space.d, (), 0, 0.0)
    design = _design(alive, space)
    targets = _targets([rollout for group in alive for rollout in group.survivors()])
    y = {name: _centred(values_R, design.group_R) for name, values_R in targets.items()}
    joint = _regression(design, slice(0, space.d))
    found = _choices_found(design, joint, y, space)
    said = {name: _said(each) for name, each in found.items()}
    counts_d = _members(design.actions, space).sum(axis=0)
    choices = tuple(
        Effect(
            said[REWARD][i],
            {n: own for n, each in said.items() if n != REWARD and (own := each[i])},
            int(counts_d[i]),
        )
        for i in range(space.d)
    )
    pairs = _pairs(design, y[REWARD], joint, space) if joint.freedom > ENOUGH else ()
    return Effects(choices, pairs, len(design.actions), _noise_std(design, joint, y[REWARD]))


def _design(alive: Sequence[Group], space: Space) -> _Design:
    """The score of all that the same params acted by one call: it may take a while."""
    sizes_g = [len(group.survivors()) for group in alive]
    group_R = np.repeat(np.arange(len(alive)), sizes_g)
    actions = [rollout.action for group in alive for rollout in group.survivors()]
    acted_R = np.array([id(group.acted) for group in alive])[group_R]
    score_Rd = np.empty((len(actions), space.d))
    for group in {id(group.acted): group for group in alive}.values():
        rows = np.flatnonzero(acted_R == id(group.acted))
        own = [actions[row] for row in rows.tolist()]
        score_Rd[rows] = policy.score(group.acted, space, own)
    z_Rd = _centred(score_Rd, group_R)
    return _Design(tuple(actions), group_R, z_Rd, len(actions) - len(alive))


def _noise_std(design: _Design, joint: _Regression, y_R: FloatArray) -> float:
    if joint.freedom >= ENOUGH:
        left_R, freedom = joint.residual(y_R), joint.freedom
    else:
        left_R, freedom = y_R, design.freedom
    noise_std = math.sqrt(float(left_R @ left_R) / freedom)
    return noise_std if noise_std > ROUNDING else 0.0


def _targets(survivors: Sequence[Rollout]) -> dict[str, FloatArray]:
    """The reward and each part that every rollout has, (R,)."""
    rewards = [rollout.reward for rollout in survivors if rollout.reward is not None]
    names = [n for n in rewards[0].parts if all(n in reward.parts for reward in rewards)]
    parts = {name: np.array([reward.parts[name] for reward in rewards]) for name in names}
    return {REWARD: np.array([reward.value for reward in rewards]), **parts}


def _centred(values_R: FloatArray, group_R: IntArray) -> FloatArray:
    """Values (R, ...) less their group's mean."""
    sizes = np.bincount(group_R)
    sums = np.zeros((len(sizes), *values_R.shape[1:]))
    np.add.at(sums, group_R, values_R)
    means = sums / sizes.reshape(-1, *[1] * (values_R.ndim - 1))
    above_R = values_R - means[group_R]
    return np.where(np.abs(above_R) > ROUNDING, above_R, 0.0)


def _regression(design: _Design, columns: slice) -> _Regression:
    z_Rc = design.z_Rd[:, columns]
    values_c, vectors_cc = np.linalg.eigh(z_Rc.T @ z_Rc)
    kept = values_c > max(SINGULAR * float(values_c[-1]), ROUNDING)
    axes_cr, roots_r = vectors_cc[:, kept], np.sqrt(values_c[kept])
    along_Rr = z_Rc @ (axes_cr / roots_r)
    means_R = 1 / np.bincount(design.group_R)[design.group_R]
    left_R = np.clip(1 - means_R - (along_Rr**2).sum(axis=1), LEAST_LEFT, 1)
    return _Regression(columns, axes_cr, roots_r, along_Rr, design.freedom - len(roots_r), left_R)


def _choices_found(
    design: _Design, joint: _Regression, y: Mapping[str, FloatArray], space: Space
) -> dict[str, list[_Found | None]]:
    """Every choice by every target, kind after kind."""
    found: dict[str, list[_Found | None]] = {name: [] for name in y}
    start = 0
    for size in (space.n, space.T, space.m):
        own = slice(start, start + size)
        start += size
        if not size:
            continue
        regression = joint
        if joint.freedom < max(ENOUGH, len(joint.roots_r)):
            regression = _regression(design, own)
        centring_Ec = np.zeros((size, regression.axes_cr.shape[0]))
        first = own.start - regression.columns.start
        centring_Ec[:, first : first + size] = np.eye(size) - 1 / size
        for name, each in _contrasts(regression, centring_Ec, y).items():
            found[name] += each
    return found


def _contrasts(
    regression: _Regression, contrast_Ec: FloatArray, y: Mapping[str, FloatArray]
) -> dict[str, list[_Found | None]]:
    """Sums of coefficients by every target."""
    found: dict[str, list[_Found | None]] = {name: [] for name in y}
    residuals = {name: regression.residual(y_R) for name, y_R in y.items()}
    determined_E = regression.determined(contrast_Ec)
    for start in range(0, len(contrast_Ec), AT_ONCE):
        some_Ec = contrast_Ec[start : start + AT_ONCE]
        weight_ER = (some_Ec @ (regression.axes_cr / regression.roots_r)) @ regression.along_Rr.T
        for name, y_R in y.items():
            if regression.freedom < ENOUGH or not y_R.any():
                found[name] += [None] * len(some_Ec)
                continue
            values_E = weight_ER @ y_R
            judged = _judged(regression, weight_ER, values_E, residuals[name])
            known = determined_E[start : start + AT_ONCE].tolist()
            found[name] += [
                each if sure else None for each, sure in zip(judged, known, strict=True)
            ]
    return found


def _judged(
    regression: _Regression, weight_ER: FloatArray, values_E: FloatArray, residual_R: FloatArray
) -> Iterator[_Found]:
    """Weighted sums of rewards, with their errors: from one residual (R,), or one each (E, R)."""
    squares_ER = weight_ER**2
    size_E = squares_ER.sum(axis=1)
    worth_E = size_E**2 / np.maximum((squares_ER**2).sum(axis=1), 1e-300)
    noise_E = (residual_R**2).sum(axis=-1) / regression.freedom
    equal_E = np.maximum(np.sqrt(noise_E * size_E), ROUNDING)
    own_squares_ER = squares_ER * (residual_R / regression.left_R) ** 2
    own_E = np.maximum(np.sqrt(own_squares_ER.sum(axis=1)), ROUNDING)
    columns = (values_E, equal_E, own_E, np.minimum(worth_E, regression.freedom))
    for value, equal, own, worth in zip(*(each.tolist() for each in columns), strict=True):
        freedom = max(math.floor(worth) - 1, 1)
        reach = max(_t(regression.freedom) * equal, _t(freedom) * own)
        size = abs(value)
        p_value = max(_beyond(size / equal, regression.freedom), _beyond(size / own, freedom))
        yield _Found(value, reach, p_value)


@cache
def _t(freedom: int) -> float:
    return t_quantile((1 + CONFIDENCE) / 2, min(freedom, MOST_FREEDOM))


def _beyond(t: float, freedom: int) -> float:
    """P(|T| > t)."""
    return 2 * (1 - t_below(t, min(freedom, MOST_FREEDOM)))


def _said(found: Sequence[_Found | None]) -> list[Estimate | None]:
    bound = _bound([each.p_value for each in found if each], FALSE_EFFECTS)
    return [
        each and Estimate(
            each.value, each.value - each.reach, each.value + each.reach, each.p_value <= bound
        )
        for each in found
    ]  # fmt: skip


def _bound(p_values: Sequence[float], share: float) -> float:
    """The largest p-value that is a discovery (Benjamini & Hochberg); below 0 if there is none."""
    ranked = sorted(p_values)
    passed = [p for i, p in enumerate(ranked, 1) if p <= share * i / len(ranked)]
    return passed[-1] if passed else -1.0


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


def _pairs(design: _Design, y_R: FloatArray, joint: _Regression, space: Space) -> tuple[Pair, ...]:
    """The pairs of concepts, and of a concept and a template, that add something of their own."""
    if not y_R.any():
        return ()
    members_Rc = _members(design.actions, space)[:, : space.n + space.T]
    counts_cc = np.triu(members_Rc.T @ members_Rc, 1)
    seen = np.argwhere(counts_cc >= PAIR_ROLLOUTS)
    often = np.argsort(-counts_cc[tuple(seen.T)], kind="stable")[:MOST_PAIRS]
    candidates = seen[np.sort(often)]
    residual_R = joint.residual(y_R)
    tested: list[tuple[tuple[int, int], _Found, int]] = []
    for start in range(0, len(candidates), AT_ONCE):
        first_Q, second_Q = candidates[start : start + AT_ONCE].T
        together_RQ = _centred(members_Rc[:, first_Q] * members_Rc[:, second_Q], design.group_R)
        beyond_RQ = joint.residual(together_RQ)
        size_Q = (beyond_RQ**2).sum(axis=0)
        # A pair that the single choices determine says nothing of its own.
        own = np.flatnonzero(size_Q > 0.05 * counts_cc[first_Q, second_Q])
        weight_QR = (beyond_RQ[:, own] / size_Q[own]).T
        values_Q = weight_QR @ residual_R
        # Without what the pair itself explains, or a large effect would hide itself.
        left_QR = residual_R - values_Q[:, None] * beyond_RQ[:, own].T
        judged = _judged(joint, weight_QR, values_Q, left_QR)
        places = zip(first_Q[own].tolist(), second_Q[own].tolist(), strict=True)
        tested += [
            (pair, found, int(counts_cc[pair])) for pair, found in zip(places, judged, strict=True)
        ]
    return _discoveries(tested)


def _discoveries(tested: Sequence[tuple[tuple[int, int], _Found, int]]) -> tuple[Pair, ...]:
    bound = _bound([found.p_value for _, found, _ in tested], FALSE_PAIRS)
    clear = [
        Pair(*pair, Interval(value, value - reach, value + reach), count)
        for pair, (value, reach, p_value), count in tested
        if p_value <= bound
    ]
    return tuple(sorted(clear, key=lambda pair: -abs(pair.reward.value)))
