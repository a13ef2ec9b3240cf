"""Actions as arrays: what the policy computes on.

A set offers a few of all features: they stand in w columns, not m. Arrays are named with their
axes: R actions, k concepts of an action, w candidate features of its set, f features taken.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from orchestrator.rollouts import Action, BoolArray, IntArray
from orchestrator.space import Offered, Space


class Encoded(NamedTuple):
    """Actions as arrays."""

    concepts_Rk: IntArray
    template_R: IntArray
    offered: Offered
    taken_Rw: BoolArray


#: What the policy takes: where the same actions are asked about often, encode them once.
Actions = Sequence[Action] | Encoded


def encode(space: Space, actions: Actions) -> Encoded:
    """The actions as arrays. Raises ValueError for one that the space does not contain."""
    if isinstance(actions, Encoded):
        return actions
    sized_R = np.array([len(action.concepts) == space.k for action in actions], dtype=np.bool_)
    _check(space, actions, sized_R)
    concepts_Rk = np.array([action.concepts for action in actions], dtype=np.int64)
    concepts_Rk = concepts_Rk.reshape(len(actions), space.k)
    template_R = np.array([action.template for action in actions], dtype=np.int64)
    _check(
        space,
        actions,
        np.all(np.diff(concepts_Rk, axis=1) > 0, axis=1)
        & (concepts_Rk[:, 0] >= 0)
        & (concepts_Rk[:, -1] < space.n)
        & (template_R >= 0)
        & (template_R < space.T),
    )
    offered = space.offered(concepts_Rk)
    features_Rf = _features(space, actions)
    taken_Rwf = (offered.at[:, :, None] == features_Rf[:, None]) & offered.open[:, :, None]
    taken_Rw = taken_Rwf.any(axis=2)
    count_R = taken_Rw.sum(axis=1)
    given_R = np.array([len(action.features) for action in actions], dtype=np.int64)
    _check(
        space,
        actions,
        (count_R == given_R) & (count_R == np.minimum(offered.open.sum(axis=1), space.f)),
    )
    return Encoded(concepts_Rk, template_R, offered, taken_Rw)


def _features(space: Space, actions: Sequence[Action]) -> IntArray:
    """The features asked for, and -1 where there are fewer than f; (R, f)."""
    none = (-1,) * space.f
    rows = [(action.features + none)[: space.f] for action in actions]
    return np.array(rows, dtype=np.int64).reshape(len(actions), space.f)


def _check(space: Space, actions: Sequence[Action], possible_R: BoolArray) -> None:
    if not possible_R.all():
        raise ValueError(
            f"{actions[int(np.argmin(possible_R))]!r} is no action of this domain: it needs "
            f"{space.k} concepts and {space.f} of their features; was the domain edited?"
        )
