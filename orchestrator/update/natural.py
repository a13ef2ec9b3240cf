"""The closed form: one regression per domain on every reward ever paid for, and a policy from it.

For every group, acted by whatever version of the policy, over its survivors:

    y = r - mean r           z = score(a) - mean score       (under the params that acted)
    A <- gamma A + sum z z'  b <- gamma b + sum z y
    c <- gamma c + sum y^2   N <- gamma N + sum (G - 1)
    w = (A + ridge)^-1 b     V = s2 (A + ridge)^-1           ridges by evidence

exploration = thompson (``thompson``, ``belief``, ``pairs``): the member of the family that acts as
often as draws of w ~ N(w, V) make a part the best; its mode is the best action under w, or under w
with pairs where the evidence is for them.

exploration = temperature: the optimum of the KL-regularised GRPO objective, one ridge lambda,

    T = c_T sqrt(sum f V_ii / sum f)                         f = Var(score) of the present policy
    params = reference + w / T = argmax  <w, E[stat]> - T KL(pi || reference)

The gradient of the group-relative surrogate at ratio 1 is F w (F the Fisher matrix), so w is its
natural gradient, GRPO's beta is T, and infinitely many inner passes are the closed form. The
temperature falls as the uncertainty falls along what is still explored. y needs no spread, so the
result is the same under r -> 7 r + 3, per-prompt offsets and any order of the groups.

Sources: Shao et al. 2024 (GRPO); Liu et al. 2025 (Dr. GRPO: no std); Kakade 2001, Peters &
Schaal 2008 (natural gradient, compatible features); Agarwal et al. 2021 (log-linear NPG); Peters et
al. 2010 (REPS); MacKay 1992 (evidence); Thompson 1933.

Left out, and why: importance weights (the regression on the score holds for any acting policy, and
weighting it measured worse); clip, learning rate, optimizer state (nothing to tune: the step is
exact); ``scale_rewards`` and ``advantage`` (a scale cancels).
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from orchestrator import policy
from orchestrator.advantages import winsorized
from orchestrator.algorithm import Natural
from orchestrator.rollouts import Action, DomainWeights, FloatArray, Group, Params
from orchestrator.space import Space
from orchestrator.update import drift, pairs
from orchestrator.update.belief import Belief, believe, recalled
from orchestrator.update.solution import Solution
from orchestrator.update.thompson import explore
from orchestrator.update.trust import within

#: Logits of one factor stray at most this far apart from the reference's: T -> 0 stays finite.
MAX_SPREAD = 30.0
#: Rollouts that gamma counts as one unit of time.
ROLLOUTS_PER_GAMMA = 64
#: Ridge strengths that the evidence chooses from.
RIDGES_L = np.logspace(-1, 2, 31)
#: Pairs count once they explain the rewards so much better: odds of e^2 (nats).
PAIRS_MUST_GAIN = 2.0
#: The noise is at least this share of the rewards' variance: below, it is rounding.
NOISE_FLOOR = 1e-12


Rows = Sequence[drift.Centred] | None


class Statistics(NamedTuple):
    """Everything ever paid for, in sums: A (d, d), b (d,), c and N (shape ())."""

    A: FloatArray
    b: FloatArray
    c: FloatArray
    N: FloatArray


class Posterior(NamedTuple):
    """Gaussian belief in the rewards' slopes: mean (d,) and diagonal of the covariance (d,)."""

    mean: FloatArray
    variance: FloatArray
    ridge: float


class _Past(NamedTuple):
    statistics: Statistics
    sums: pairs.PairSums
    watch: drift.Watch


class _Moved(NamedTuple):
    params: Params
    state: Mapping[str, FloatArray]
    temperature: float | None = None


def solve(old: DomainWeights, groups: Sequence[Group], knobs: Natural, space: Space) -> Solution:
    """One update of one domain. Groups with fewer than two survivors do not enter.

    Without any group that does, the weights come back as they are.
    """
    alive = [group for group in groups if len(group.survivors()) >= 2]
    if not alive:
        return Solution(old, used=0)
    actions = [rollout.action for group in alive for rollout in group.survivors()]
    rows = _centred(alive, knobs, space)
    past = _past(old, rows, knobs, space)
    statistics = absorb(past.statistics, alive, knobs, space, rows)
    moved = (
        _sampled(statistics, past.sums, old, alive, rows, knobs, space)
        if knobs.exploration == "thompson"
        else _tempered(statistics, old, actions, knobs, space)
    )
    params = moved.params
    if knobs.max_kl is not None:
        params = within(knobs.max_kl, old.params, params, space, actions)
    state = {**statistics._asdict(), **moved.state, **past.watch.state()}
    weights = DomainWeights(params, old.reference, state)
    return Solution(weights, len(actions), temperature=moved.temperature)


def _past(old: DomainWeights, rows: Sequence[drift.Centred], knobs: Natural, space: Space) -> _Past:
    """The sums so far, with little weight if these groups show that the world has changed."""
    statistics = remembered(old.state, space.d)
    sums = pairs.remembered(old.state, space.d, pairs.count(space, knobs.max_pairs))
    watch = drift.watched(old.state)
    if not knobs.detect_drift or not statistics.b.any():
        return _Past(statistics, sums, watch)
    watch = watch.after(_alone(statistics, old.state, space), rows)
    if not watch.changed:
        return _Past(statistics, sums, watch)
    return _Past(
        Statistics(*(drift.KEPT * array for array in statistics)),
        pairs.PairSums(*(drift.KEPT * array for array in sums)),
        watch,
    )


def _sampled(
    statistics: Statistics,
    past_sums: pairs.PairSums,
    old: DomainWeights,
    groups: Sequence[Group],
    rows: Sequence[drift.Centred],
    knobs: Natural,
    space: Space,
) -> _Moved:
    """The family's member that acts as draws of the worths do; the reference without a slope."""
    sums = absorb_pairs(past_sums, groups, knobs, space, rows)
    state = pairs.state_of(sums)
    if not statistics.b.any():
        return _Moved(old.reference, state)
    alone = _alone(statistics, {}, space)
    belief = _believed(statistics, sums, alone, space)
    explored = explore(belief, old.reference, space, knobs.floor, knobs.spread)
    return _Moved(explored.params, {**state, **alone.kept()})


def _alone(statistics: Statistics, state: Mapping[str, FloatArray], space: Space) -> Belief:
    """The belief in parts alone; ``state`` may hold what was kept of it with these statistics."""
    families = [space.n, space.T, space.m]
    squares, count = float(statistics.c), float(statistics.N)
    return recalled(statistics.A, statistics.b, families, state) or believe(
        statistics.A, statistics.b, squares, count, families
    )


def _believed(statistics: Statistics, sums: pairs.PairSums, alone: Belief, space: Space) -> Belief:
    """The belief in parts alone, or in parts and pairs if the evidence is for pairs."""
    squares, count = float(statistics.c), float(statistics.N)
    families = [space.n, space.T, space.m]
    if not len(sums.moved):
        return alone
    shaped = space.n * space.T
    together = believe(
        np.block([[statistics.A, sums.cross], [sums.cross.T, sums.square]]),
        np.concatenate([statistics.b, sums.moved]),
        squares,
        count,
        [*families, len(sums.moved) - shaped, shaped],
        alone.ridges,
    )
    return together if together.evidence > alone.evidence + PAIRS_MUST_GAIN else alone


def _tempered(
    statistics: Statistics,
    old: DomainWeights,
    actions: Sequence[Action],
    knobs: Natural,
    space: Space,
) -> _Moved:
    """The worths over the temperature."""
    belief = posterior(statistics)
    explored_d = policy.score_variance(old.params, space, actions)
    sharpness = _sharpness(belief, explored_d, knobs.temperature_scale, space)
    slopes = policy.centred(old.params.unflat(belief.mean))
    params = old.params.unflat(old.reference.flat() + sharpness * slopes.flat())
    return _Moved(params, {}, 1 / sharpness if sharpness > 0 else None)


def remembered(state: Mapping[str, FloatArray], d: int) -> Statistics:
    """The statistics of a domain's state; zeros at the start."""
    if "A" not in state:
        return Statistics(np.zeros((d, d)), np.zeros(d), np.zeros(()), np.zeros(()))
    return Statistics(state["A"], state["b"], state["c"], state["N"])


def absorb(
    old: Statistics, groups: Sequence[Group], knobs: Natural, space: Space, rows: Rows = None
) -> Statistics:
    """The statistics after groups of two survivors or more; the past fades by their rollouts.

    ``rows``: what ``_centred`` makes of the groups, where it is there already.
    """
    z_Rd, y_R, count = _stacked(rows or _centred(groups, knobs, space))
    gamma = _fading(knobs, len(y_R))
    return Statistics(
        gamma * old.A + z_Rd.T @ z_Rd,
        gamma * old.b + z_Rd.T @ y_R,
        gamma * old.c + np.sum(y_R**2),
        gamma * old.N + (len(y_R) - count),
    )


def absorb_pairs(
    old: pairs.PairSums, groups: Sequence[Group], knobs: Natural, space: Space, rows: Rows = None
) -> pairs.PairSums:
    """The sums that involve pairs, after the same groups."""
    if not len(old.moved):
        return old
    z_Rd, y_R, _ = _stacked(rows or _centred(groups, knobs, space))
    both = [pairs.columns(space, [r.action for r in group.survivors()]) for group in groups]
    x_Rq = np.concatenate([x_Gq - x_Gq.mean(axis=0) for x_Gq in both])
    gamma = _fading(knobs, len(y_R))
    return pairs.PairSums(
        gamma * old.cross + z_Rd.T @ x_Rq,
        gamma * old.square + x_Rq.T @ x_Rq,
        gamma * old.moved + x_Rq.T @ y_R,
    )


def _stacked(rows: Sequence[drift.Centred]) -> tuple[FloatArray, FloatArray, int]:
    scores, rewards = zip(*rows, strict=True)
    return np.concatenate(scores), np.concatenate(rewards), len(rows)


def _fading(knobs: Natural, rollouts: int) -> float:
    return float(knobs.gamma ** (rollouts / ROLLOUTS_PER_GAMMA))


def posterior(statistics: Statistics) -> Posterior:
    """The regression's mean and variance at the ridge of the largest evidence (MacKay 1992)."""
    eigenvalues_d, basis_dd = np.linalg.eigh(statistics.A)
    eigenvalues_d = np.maximum(eigenvalues_d, 0.0)
    seen_d = basis_dd.T @ statistics.b
    shrunk_Ld = 1 / (eigenvalues_d + RIDGES_L[:, None])
    residual_L = statistics.c - shrunk_Ld @ seen_d**2
    floor = max(NOISE_FLOOR * float(statistics.c), np.finfo(np.float64).tiny)
    noise_L = np.maximum(residual_L, floor) / statistics.N
    complexity_L = np.log1p(eigenvalues_d / RIDGES_L[:, None]).sum(axis=1)
    best = int(np.argmax(-0.5 * (statistics.N * np.log(noise_L) + complexity_L)))
    mean_d = basis_dd @ (shrunk_Ld[best] * seen_d)
    variance_d = noise_L[best] * (basis_dd**2 @ shrunk_Ld[best])
    return Posterior(mean_d, variance_d, float(RIDGES_L[best]))


def _centred(groups: Sequence[Group], knobs: Natural, space: Space) -> list[drift.Centred]:
    """Scores and rewards of each group's survivors, against the group's mean."""
    by_acted: dict[int, list[Group]] = {}
    for group in groups:
        by_acted.setdefault(id(group.acted), []).append(group)
    scores: dict[int, FloatArray] = {}
    for together in by_acted.values():
        # One call for all that the same params acted: a row's score is its own.
        sizes = [len(group.survivors()) for group in together]
        actions = [r.action for group in together for r in group.survivors()]
        scores_Rd = policy.score(together[0].acted, space, actions)
        parts = np.split(scores_Rd, np.cumsum(sizes)[:-1])
        scores.update(zip(map(id, together), parts, strict=True))
    return [_centred_group(scores[id(group)], group, knobs) for group in groups]


def _centred_group(score_Gd: FloatArray, group: Group, knobs: Natural) -> drift.Centred:
    rewards_G = winsorized(group.rewards(), knobs.winsorize_mad)
    # Against the first reward first: equal rewards then give an exact 0.
    above_G = rewards_G - rewards_G[0]
    return drift.Centred(score_Gd - score_Gd.mean(axis=0), above_G - above_G.mean())


def _sharpness(
    belief: Posterior, explored_d: FloatArray, temperature_scale: float, space: Space
) -> float:
    """1 / T, at most what keeps the logits within ``MAX_SPREAD``; 0 without any slope."""
    parts = np.split(belief.mean, [space.n, space.n + space.T])
    widest = max(float(np.ptp(part)) for part in parts if part.size)
    if widest == 0:
        return 0.0
    shares_d = explored_d / explored_d.sum()
    temperature = temperature_scale * math.sqrt(float(shares_d @ belief.variance))
    return 1 / max(temperature, widest / MAX_SPREAD)
