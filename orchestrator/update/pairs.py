"""Interactions: what two parts of an action are worth together beyond what each is worth alone.

    columns of an action: 1{i in S} 1{j in S} for i < j,  1{i in S} 1{t} for every concept, template

The closed form regresses on them beside the score: the same sums, over d + q columns instead of d.
Their slopes have a ridge of their own, chosen by evidence, so that a world without interactions
costs little: they are then shrunk to nothing.

A space of more than ``max_pairs`` such columns learns sums only: the statistics grow with the
square of the columns, and a thousand calls could not tell so many effects apart. Left out: features
in pairs (a feature is drawn given the concepts, and its score is taken given them), and triples.

Arrays are named with their axes: R actions, q pairs, P = d + q columns.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from orchestrator.algorithm import Natural
from orchestrator.rollouts import Action, FloatArray, IntArray
from orchestrator.space import Space
from orchestrator.update.sums import Rows


class PairSums(NamedTuple):
    """The sums of ``sums.Statistics`` that involve pairs: (d, q), (q, q) and (q,)."""

    cross: FloatArray
    square: FloatArray
    moved: FloatArray


def count(space: Space, max_pairs: int) -> int:
    """Columns q; 0 in a space that has more than ``max_pairs``."""
    columns = space.n * (space.n - 1) // 2 + space.n * space.T
    return columns if columns <= max_pairs else 0


def columns(space: Space, actions: Sequence[Action]) -> FloatArray:
    """1 where an action holds both, (R, q): pairs of concepts, then concept by template."""
    rows_R = np.arange(len(actions))
    chosen_Rn, template_RT = np.zeros((len(actions), space.n)), np.zeros((len(actions), space.T))
    chosen_Rn[rows_R[:, None], [action.concepts for action in actions]] = 1
    template_RT[rows_R, [action.template for action in actions]] = 1
    first_q, second_q = concept_pairs(space)
    shaped_RnT = chosen_Rn[:, :, None] * template_RT[:, None, :]
    both_Rq = chosen_Rn[:, first_q] * chosen_Rn[:, second_q]
    return np.concatenate([both_Rq, shaped_RnT.reshape(len(actions), -1)], axis=1)


def concept_pairs(space: Space) -> tuple[IntArray, IntArray]:
    """The first and the second concept of every pair, in the order of the columns."""
    first_q, second_q = np.triu_indices(space.n, 1)
    return first_q, second_q


def remembered(state: Mapping[str, FloatArray], d: int, q: int) -> PairSums:
    """The sums of a domain's state; zeros at the start, and if the pairs are no longer the same."""
    if "pairs_square" not in state or state["pairs_square"].shape != (q, q):
        return PairSums(np.zeros((d, q)), np.zeros((q, q)), np.zeros(q))
    return PairSums(state["pairs_cross"], state["pairs_square"], state["pairs_moved"])


def absorbed(old: PairSums, columns_Rq: FloatArray | None, rows: Rows, knobs: Natural) -> PairSums:
    """The sums after these rows, whose actions have these columns; None where none are learnt."""
    if columns_Rq is None:
        return old
    x_Rq = rows.centred(columns_Rq)
    gamma = rows.fading(knobs)
    return PairSums(
        gamma * old.cross + rows.z_Rd.T @ x_Rq,
        gamma * old.square + x_Rq.T @ x_Rq,
        gamma * old.moved + x_Rq.T @ rows.y_R,
    )


def state_of(sums: PairSums) -> Mapping[str, FloatArray]:
    """What ``remembered`` reads."""
    return {f"pairs_{name}": array for name, array in sums._asdict().items()}
