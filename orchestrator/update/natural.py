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
from orchestrator.rollouts import DomainWeights, FloatArray, Group, Params
from orchestrator.space import Space
from orchestrator.update import drift, pairs, sums
from orchestrator.update.belief import (
    FIRST_RIDGE_OF_PAIRS,
    ROUNDS,
    ROUNDS_LATER,
    ROUNDS_OF_PAIRS,
    Belief,
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
    rows = sums.rows_of(alive, knobs, space)
    past = _past(old, rows, knobs, space)
    statistics = sums.absorbed(past.statistics, rows, knobs)
    if knobs.exploration == "thompson":
        columns_Rq = pairs.columns(space, actions) if len(past.sums.moved) else None
        pair_sums = pairs.absorbed(past.sums, columns_Rq, rows, knobs)
        moved = _sampled(statistics, pair_sums, old, knobs, space)
    else:
        found = tempered(statistics, old, actions, knobs.temperature_scale, space)
        moved = _Moved(found.params, {}, found.temperature)
    params = moved.params
    if knobs.max_kl is not None:
        params = within(knobs.max_kl, old.params, params, space, actions)
    state = {**statistics._asdict(), **moved.state, **past.watch.state()}
    weights = DomainWeights(params, old.reference, state)
    return Solution(weights, len(actions), temperature=moved.temperature)


def _past(old: DomainWeights, rows: Rows, knobs: Natural, space: Space) -> _Past:
    """The sums so far, with little weight if these groups show that the world has changed."""
    statistics = sums.remembered(old.state, space.d)
    pair_sums = pairs.remembered(old.state, space.d, pairs.count(space, knobs.max_pairs))
    watch = drift.watched(old.state)
    if not knobs.detect_drift or not statistics.b.any():
        return _Past(statistics, pair_sums, watch)
    families = _families(space)
    before = recalled(statistics.A, statistics.b, families, old.state) or _alone(
        statistics, old.state, space
    )
    watch = watch.after(before, rows)
    if not watch.changed:
        return _Past(statistics, pair_sums, watch)
    return _Past(
        Statistics(*(drift.KEPT * array for array in statistics)),
        pairs.PairSums(*(drift.KEPT * array for array in pair_sums)),
        watch,
    )


def _sampled(
    statistics: Statistics,
    pair_sums: pairs.PairSums,
    old: DomainWeights,
    knobs: Natural,
    space: Space,
) -> _Moved:
    """The family's member that acts as draws of the worths do; the reference without a slope."""
    state = pairs.state_of(pair_sums)
    if not statistics.b.any():
        return _Moved(old.reference, state)
    alone = _alone(statistics, old.state, space)
    belief, together = alone, _together(statistics, pair_sums, alone, space)
    if together and together.evidence > alone.evidence + PAIRS_MUST_GAIN:
        belief = together
    explored = explore(belief, old.reference, space, knobs.floor, knobs.spread)
    return _Moved(explored.params, {**state, **alone.kept()})


def _families(space: Space) -> list[int]:
    return [space.n, space.T, space.m]


def _alone(statistics: Statistics, state: Mapping[str, FloatArray], space: Space) -> Belief:
    """The belief in parts alone: ridges follow the rewards from update to update."""
    A, b, c, N = statistics
    start = state.get("ridges")
    rounds = ROUNDS if start is None else ROUNDS_LATER
    return believe(A, b, float(c), float(N), _families(space), start, rounds)


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
