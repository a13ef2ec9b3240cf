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

from orchestrator.rollouts import Action, FloatArray, IntArray
from orchestrator.space import Space
from orchestrator.update import pairs

#: Rounds of exchanges over all positions: from 2 on, more changed none of 1,000 worlds (n 12, k 5).
EXCHANGES = 2


class Best(NamedTuple):
    """One action per draw: concepts (L, k) ascending, template (L,), features as members (L, m)."""

    concepts: IntArray
    template: IntArray
    members: FloatArray
    taken: FloatArray
    #: The candidate features of each set, (L, m).
    offered: FloatArray

    def action(self, draw: int) -> Action:
        """The action of one draw."""
        features = np.flatnonzero(self.taken[draw]).tolist()
        return Action(
            tuple(self.concepts[draw].tolist()), int(self.template[draw]), tuple(features)
        )


class _Worths(NamedTuple):
    """Draws by part; Q symmetric with an empty diagonal."""

    alone_LTn: FloatArray
    template_LT: FloatArray
    feature_Lm: FloatArray
    pairs_Lnn: FloatArray | None


def best_actions(worths_LP: FloatArray, space: Space) -> Best:
    """The best action of every row of worths: d columns of parts, then none or q of pairs."""
    worths = _split(worths_LP, space)
    rows = np.arange(len(worths_LP))
    if worths.pairs_Lnn is None:
        order_Ln = np.argsort(-worths.alone_LTn[:, 0], axis=1, kind="stable")
        concepts_Lk = np.sort(order_Ln[:, : space.k], axis=1)
        template_L = worths.template_LT.argmax(axis=1)
    else:
        found_LTsk, value_LTs = _searched(worths.alone_LTn, worths.pairs_Lnn, space.k)
        total_LTs = value_LTs + worths.template_LT[:, :, None]
        at_L = total_LTs.reshape(len(rows), -1).argmax(axis=1)
        template_L, start_L = np.divmod(at_L, space.n)
        concepts_Lk = np.sort(found_LTsk[rows, template_L, start_L], axis=1)
    members_Ln = np.zeros((len(rows), space.n))
    np.put_along_axis(members_Ln, concepts_Lk, 1.0, axis=1)
    offered_Lm = space.candidates(members_Ln > 0)
    ranked_Lm = np.where(offered_Lm, worths.feature_Lm, -np.inf)
    order_Lf = np.argsort(-ranked_Lm, axis=1, kind="stable")[:, : space.f]
    taken_Lm = np.zeros((len(rows), space.m))
    np.put_along_axis(taken_Lm, order_Lf, 1.0, axis=1)
    return Best(
        concepts_Lk, template_L, members_Ln, taken_Lm * offered_Lm, offered_Lm.astype(np.float64)
    )


def _split(worths_LP: FloatArray, space: Space) -> _Worths:
    n, templates, d = space.n, space.T, space.d
    alone_Ln = worths_LP[:, :n]
    template_LT, feature_Lm = worths_LP[:, n : n + templates], worths_LP[:, n + templates : d]
    if worths_LP.shape[1] == d:
        return _Worths(alone_Ln[:, None], template_LT, feature_Lm, None)
    first_q, second_q = pairs.concept_pairs(space)
    together_LQ, shaped_LnT = np.split(worths_LP[:, d:], [len(first_q)], axis=1)
    pairs_Lnn = np.zeros((len(worths_LP), n, n))
    pairs_Lnn[:, first_q, second_q] = together_LQ
    pairs_Lnn[:, second_q, first_q] = together_LQ
    shaped_LTn = shaped_LnT.reshape(-1, n, templates).transpose(0, 2, 1)
    return _Worths(alone_Ln[:, None] + shaped_LTn, template_LT, feature_Lm, pairs_Lnn)


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
