"""The closed form: one regression per domain on every reward ever paid for, and a policy from it.

    y = r - mean r           z = score(a) - mean score           within each group (``sums``)
    w = (A + ridge)^-1 b     V = s2 (A + ridge)^-1               A = sum z z', b = sum z y

exploration = thompson (``thompson``, ``belief``, ``pairs``): the member of the family that acts as
often as draws of w ~ N(w, V) make a part the best, ridges by evidence; its mode is the best action
under w, or under w with pairs where the evidence is for them.

exploration = temperature (``tempered``): the optimum of the KL-regularised GRPO objective.

Every rollout ever paid for counts, whatever version of the policy drew it. y needs no spread, so
the result is the same under r -> 7 r + 3, per-prompt offsets and any order of the groups.

Sources: Shao et al. 2024 (GRPO); Liu et al. 2025 (Dr. GRPO: no std); Thompson 1933.

Left out, and why: importance weights (the regression on the score holds for any acting policy, and
weighting it measured worse); clip, learning rate, optimizer state (nothing to tune: the step is
exact); ``scale_rewards`` and ``advantage`` (a scale cancels).
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from orchestrator.algorithm import Natural
from orchestrator.rollouts import Action, DomainWeights, FloatArray, Group, Params
from orchestrator.space import Space
from orchestrator.update import drift, pairs, sums
from orchestrator.update.belief import (
    FEW_REWARDS,
    FIRST_RIDGE_OF_PAIRS,
    NEAR,
    ROUNDS,
    ROUNDS_OF_PAIRS,
    Belief,
    Kept,
    believe,
    recalled,
)
from orchestrator.update.solution import Solution
from orchestrator.update.sums import Rows, Statistics
from orchestrator.update.tempered import tempered
from orchestrator.update.thompson import explore
from orchestrator.update.trust import within

#: Pairs count once they explain the rewards so much better: odds of e^2 (nats).
PAIRS_MUST_GAIN = 2.0


class _Learnt(NamedTuple):
    """Everything so far, and the belief in parts alone; None without a slope."""

    statistics: Statistics
    sums: pairs.PairSums
    watch: drift.Watch
    alone: Belief | None


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
    rows = sums.rows_of(alive, knobs, space)
    learnt = _learnt(old, rows, actions, knobs, space)
    if knobs.exploration == "thompson":
        moved = _sampled(learnt, old, knobs, space)
    else:
        found = tempered(learnt.statistics, old, actions, knobs.temperature_scale, space)
        moved = _Moved(found.params, {}, found.temperature)
    params = moved.params
    if knobs.max_kl is not None:
        params = within(knobs.max_kl, old.params, params, space, actions)
    kept = learnt.alone.kept()._asdict() if learnt.alone else {}
    state = {**learnt.statistics._asdict(), **moved.state, **kept, **learnt.watch.state()}
    weights = DomainWeights(params, old.reference, state)
    return Solution(weights, len(actions), temperature=moved.temperature)


def _learnt(
    old: DomainWeights, rows: Rows, actions: Sequence[Action], knobs: Natural, space: Space
) -> _Learnt:
    """The sums with these rows; the past counts little if they show that the world has changed."""
    count = pairs.count(space, knobs.max_pairs) if knobs.exploration == "thompson" else 0
    columns_Rq = pairs.columns(space, actions) if count else None
    past = sums.remembered(old.state, space.d)
    past_pairs = pairs.remembered(old.state, space.d, count)
    watch, before = drift.watched(old.state), recalled(old.state)
    statistics = sums.absorbed(past, rows, knobs)
    alone = _alone(statistics, before, space)
    if alone and before and knobs.detect_drift and past.N >= FEW_REWARDS <= statistics.N:
        degrees = len(rows.y_R) - len(rows.sizes_g)
        grown = alone.misfit_at_start - _misfit_before(past, before, rows.fading(knobs), space)
        watch = watch.after(grown, degrees, before, float(past.c / past.N))
    if watch.changed:
        past = Statistics(*(drift.KEPT * array for array in past))
        past_pairs = pairs.PairSums(*(drift.KEPT * array for array in past_pairs))
        statistics = sums.absorbed(past, rows, knobs)
        alone = _alone(statistics, before, space)
    return _Learnt(statistics, pairs.absorbed(past_pairs, columns_Rq, rows, knobs), watch, alone)


def _misfit_before(past: Statistics, before: Kept, gamma: float, space: Space) -> float:
    """The misfit of the past as it counts now."""
    if gamma == 1:
        return float(before.misfit)
    faded = Statistics(*(gamma * array for array in past))
    return _believed(faded, before.ridges, 0, space).misfit


def _sampled(learnt: _Learnt, old: DomainWeights, knobs: Natural, space: Space) -> _Moved:
    """The family's member that acts as draws of the worths do; the reference without a slope."""
    state = pairs.state_of(learnt.sums)
    if learnt.alone is None:
        return _Moved(old.reference, state)
    belief = learnt.alone
    together = _together(learnt.statistics, learnt.sums, belief, space)
    if together and together.evidence > belief.evidence + PAIRS_MUST_GAIN:
        belief = together
    return _Moved(explore(belief, old.reference, space, knobs.floor, knobs.spread).params, state)


def _families(space: Space) -> list[int]:
    return [space.n, space.T, space.m]


def _alone(statistics: Statistics, before: Kept | None, space: Space) -> Belief | None:
    """The belief in parts alone; its ridges follow the rewards from update to update."""
    if not statistics.b.any() or statistics.c < np.finfo(np.float64).tiny:
        return None
    if before and statistics.N >= FEW_REWARDS:
        return _believed(statistics, before.ridges, ROUNDS, space, NEAR)
    return _believed(statistics, None, ROUNDS, space)


def _believed(
    statistics: Statistics,
    start: FloatArray | None,
    rounds: int,
    space: Space,
    near: float = 0.0,
) -> Belief:
    A, b, c, N = statistics
    return believe(A, b, float(c), float(N), _families(space), start, rounds, near)


def _together(
    statistics: Statistics,
    pair_sums: pairs.PairSums,
    alone: Belief,
    space: Space,
) -> Belief | None:
    """The belief in parts and pairs; None if pairs are not learnt.

    Their fixed point is not followed from update to update: few rounds leave pairs wider, and the
    policy explores them longer.
    """
    if not len(pair_sums.moved):
        return None
    A, b, c, N = statistics
    shaped = space.n * space.T
    families = [*_families(space), len(pair_sums.moved) - shaped, shaped]
    first = np.concatenate([alone.ridges, np.full(2, FIRST_RIDGE_OF_PAIRS)])
    return believe(
        np.block([[A, pair_sums.cross], [pair_sums.cross.T, pair_sums.square]]),
        np.concatenate([b, pair_sums.moved]),
        float(c),
        float(N),
        families,
        first,
        ROUNDS_OF_PAIRS,
    )
