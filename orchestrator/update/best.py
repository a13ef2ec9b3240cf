"""The best action under what its parts and pairs are worth, for many draws of the worths at once.

    argmax over (S, t)   sum_{i in S} u_i + v_t + sum_{i<j in S} Q_ij + sum_{i in S} X_it
    then F: the f candidates of S of largest w                        (the score has it so)

Without pairs this is the k largest u and the largest v. With pairs: from every first concept, the
others one by one as they add most, for every template; then exchanges of one concept while k > 2.
Exact for k <= 2; a local optimum from n starts for larger k. Ties go to the lowest index.

Arrays are named with their axes: L draws, n concepts, T templates, m features, s starts, k chosen.
"""

from typing import NamedTuple

import numpy as np

from orchestrator.rollouts import Action, BoolArray, FloatArray, IntArray
from orchestrator.space import Offered, Space
from orchestrator.update import pairs

#: Rounds of exchanges over all positions: from 2 on, more changed none of 1,000 worlds (n 12, k 5).
EXCHANGES = 2


class Sets(NamedTuple):
    """Concepts (L, k) ascending and template (L,) of every draw."""

    concepts: IntArray
    template: IntArray


class Best(NamedTuple):
    """One action per draw: concepts (L, k) ascending, template (L,), features."""

    concepts: IntArray
    template: IntArray
    #: The candidate features of each set, and which of them are taken: (L, w).
    offered: Offered
    taken: BoolArray

    def action(self, draw: int) -> Action:
        """The action of one draw."""
        features = self.offered.at[draw][self.taken[draw]].tolist()
        return Action(
            tuple(self.concepts[draw].tolist()), int(self.template[draw]), tuple(features)
        )


class _Worths(NamedTuple):
    """Draws by template and concept, and by pair: Q symmetric with an empty diagonal."""

    alone_LTn: FloatArray
    pairs_Lnn: FloatArray


def best_actions(worths_LP: FloatArray, space: Space) -> Best:
    """The best action of every row of worths: d columns of parts, then none or q of pairs."""
    first, d = space.n + space.T, space.d
    sets = best_sets(worths_LP[:, :first], worths_LP[:, d:], space)
    return with_features(sets, worths_LP[:, first:d], space)


def best_sets(alone_LC: FloatArray, pairs_Lq: FloatArray, space: Space) -> Sets:
    """Concepts and template of the largest worth: n + T columns of them, none or q of pairs."""
    alone_Ln, template_LT = alone_LC[:, : space.n], alone_LC[:, space.n :]
    if not pairs_Lq.shape[1]:
        concepts_Lk = np.sort(_highest(alone_Ln, space.k), axis=1)
        return Sets(concepts_Lk, template_LT.argmax(axis=1))
    worths = _with_pairs(alone_Ln, pairs_Lq, space)
    found_LTsk, value_LTs = _searched(*worths, space.k)
    total_LTs = value_LTs + template_LT[:, :, None]
    at_L = total_LTs.reshape(len(total_LTs), -1).argmax(axis=1)
    template_L, start_L = np.divmod(at_L, space.n)
    rows_L = np.arange(len(total_LTs))
    return Sets(np.sort(found_LTsk[rows_L, template_L, start_L], axis=1), template_L)


def with_features(sets: Sets, feature_Lm: FloatArray, space: Space) -> Best:
    """The sets with the best of the features that they offer."""
    offered = space.offered(sets.concepts)
    worth_Lw = np.where(offered.open, np.take_along_axis(feature_Lm, offered.at, axis=1), -np.inf)
    taken_Lw = np.zeros(offered.open.shape, dtype=np.bool_)
    some = min(space.f, worth_Lw.shape[1])
    np.put_along_axis(taken_Lw, _highest(worth_Lw, some), True, axis=1)
    return Best(*sets, offered, taken_Lw & offered.open)


def _highest(values_Ln: FloatArray, count: int) -> IntArray:
    """The indices of the largest values of each row, (L, count), the largest first."""
    left_Ln = values_Ln.copy()
    found_Lk = np.empty((len(left_Ln), count), dtype=np.int64)
    for place in range(count):
        found_Lk[:, place] = left_Ln.argmax(axis=1)
        np.put_along_axis(left_Ln, found_Lk[:, place : place + 1], -np.inf, axis=1)
    return found_Lk


def _with_pairs(alone_Ln: FloatArray, pairs_Lq: FloatArray, space: Space) -> _Worths:
    n, templates = space.n, space.T
    first_q, second_q = pairs.concept_pairs(space)
    together_LQ, shaped_LnT = np.split(pairs_Lq, [len(first_q)], axis=1)
    pairs_Lnn = np.zeros((len(alone_Ln), n, n))
    pairs_Lnn[:, first_q, second_q] = together_LQ
    pairs_Lnn[:, second_q, first_q] = together_LQ
    shaped_LTn = shaped_LnT.reshape(-1, n, templates).transpose(0, 2, 1)
    return _Worths(alone_Ln[:, None] + shaped_LTn, pairs_Lnn)


def _searched(alone_LTn: FloatArray, pairs_Lnn: FloatArray, k: int) -> tuple[IntArray, FloatArray]:
    """A set from every start, (L, T, s, k), and its worth but for the template, (L, T, s)."""
    draws, templates, n = alone_LTn.shape
    found_LTsk = np.empty((draws, templates, n, k), dtype=np.int64)
    found_LTsk[..., 0] = np.arange(n)
    value_LTs = alone_LTn.copy()
    # What each concept would add to each start's set; -inf where it is in it.
    gain_LTsn = alone_LTn[:, :, None, :] + pairs_Lnn[:, None]
    gain_LTsn[..., np.arange(n), np.arange(n)] = -np.inf
    each_L = np.arange(draws)[:, None, None]
    for position in range(1, k):
        added_LTs = gain_LTsn.argmax(axis=3)
        found_LTsk[..., position] = added_LTs
        value_LTs += np.take_along_axis(gain_LTsn, added_LTs[..., None], axis=3)[..., 0]
        gain_LTsn += pairs_Lnn[each_L, added_LTs]
        np.put_along_axis(gain_LTsn, added_LTs[..., None], -np.inf, axis=3)
    if k > 2:
        _exchange(found_LTsk, value_LTs, gain_LTsn, alone_LTn, pairs_Lnn)
    return found_LTsk, value_LTs


def _exchange(
    found_LTsk: IntArray,
    value_LTs: FloatArray,
    gain_LTsn: FloatArray,
    alone_LTn: FloatArray,
    pairs_Lnn: FloatArray,
) -> None:
    """Put a better concept in the place of one, in place, position after position."""
    draws, templates, _, k = found_LTsk.shape
    each_L, each_T = np.arange(draws)[:, None, None], np.arange(templates)[None, :, None]
    for position in list(range(k)) * EXCHANGES:
        leaving_LTs = found_LTsk[..., position].copy()
        others_LTsk = np.delete(found_LTsk, position, axis=3)
        bond_LTs = pairs_Lnn[each_L[..., None], leaving_LTs[..., None], others_LTsk].sum(axis=3)
        worth_LTs = alone_LTn[each_L, each_T, leaving_LTs] + bond_LTs
        gain_LTsn -= pairs_Lnn[each_L, leaving_LTs]
        np.put_along_axis(gain_LTsn, leaving_LTs[..., None], worth_LTs[..., None], axis=3)
        entering_LTs = gain_LTsn.argmax(axis=3)
        entered_LTs = np.take_along_axis(gain_LTsn, entering_LTs[..., None], axis=3)[..., 0]
        value_LTs += entered_LTs - worth_LTs
        found_LTsk[..., position] = entering_LTs
        gain_LTsn += pairs_Lnn[each_L, entering_LTs]
        np.put_along_axis(gain_LTsn, entering_LTs[..., None], -np.inf, axis=3)
