"""What a step's groups add to the regression: centred scores and rewards, and their sums.

    y = r - mean r           z = score(a) - mean score       (under the params that acted)
    A <- gamma A + sum z z'  b <- gamma b + sum z y
    c <- gamma c + sum y^2   N <- gamma N + sum (G - 1)

A prompt's difficulty cancels. The sums can be made of any parts of the rollouts in any order.
Arrays are named with their axes: R rollouts of all groups, g groups, d parameters.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from orchestrator import policy
from orchestrator.advantages import has_spread, winsorized
from orchestrator.algorithm import Natural
from orchestrator.rollouts import FloatArray, Group, IntArray
from orchestrator.space import Space

#: Rollouts that gamma counts as one unit of time.
ROLLOUTS_PER_GAMMA = 64


class Rows(NamedTuple):
    """Survivors, group after group, each against its group's mean."""

    z_Rd: FloatArray
    y_R: FloatArray
    #: Rollouts of each group.
    sizes_g: IntArray

    def centred(self, values_Rj: FloatArray) -> FloatArray:
        """Values against their groups' means."""
        starts_g = np.cumsum(self.sizes_g) - self.sizes_g
        mean_gj = np.add.reduceat(values_Rj, starts_g, axis=0) / self.sizes_g[:, None]
        return np.asarray(values_Rj - np.repeat(mean_gj, self.sizes_g, axis=0))

    def fading(self, knobs: Natural) -> float:
        """The weight that these rollouts leave to those before them."""
        return float(knobs.gamma ** (len(self.y_R) / ROLLOUTS_PER_GAMMA))


class Statistics(NamedTuple):
    """Everything ever paid for, in sums: A (d, d), b (d,), c and N (shape ())."""

    A: FloatArray
    b: FloatArray
    c: FloatArray
    N: FloatArray


def rows_of(groups: Sequence[Group], knobs: Natural, space: Space) -> Rows:
    """The rows of groups of two survivors or more."""
    sizes_g = np.array([len(group.survivors()) for group in groups], dtype=np.int64)
    rows = Rows(np.zeros((0, space.d)), _rewards(groups, knobs), sizes_g)
    return rows._replace(z_Rd=rows.centred(_scores(groups, sizes_g, space)))


def remembered(state: Mapping[str, FloatArray], d: int) -> Statistics:
    """The statistics of a domain's state; zeros at the start."""
    if "A" not in state:
        return Statistics(np.zeros((d, d)), np.zeros(d), np.zeros(()), np.zeros(()))
    return Statistics(state["A"], state["b"], state["c"], state["N"])


def absorbed(old: Statistics, rows: Rows, knobs: Natural) -> Statistics:
    """The statistics after these rows; the past fades by their number."""
    gamma = rows.fading(knobs)
    return Statistics(
        gamma * old.A + rows.z_Rd.T @ rows.z_Rd,
        gamma * old.b + rows.z_Rd.T @ rows.y_R,
        gamma * old.c + np.sum(rows.y_R**2),
        gamma * old.N + (len(rows.y_R) - len(rows.sizes_g)),
    )


def _scores(groups: Sequence[Group], sizes_g: IntArray, space: Space) -> FloatArray:
    """One call for all that the same params acted: a row's score is its own."""
    by_acted: dict[int, list[int]] = {}
    for at, group in enumerate(groups):
        by_acted.setdefault(id(group.acted), []).append(at)
    group_R = np.repeat(np.arange(len(groups)), sizes_g)
    score_Rd = np.empty((len(group_R), space.d))
    for together in by_acted.values():
        actions = [r.action for at in together for r in groups[at].survivors()]
        scores = policy.score(groups[together[0]].acted, space, actions)
        score_Rd[np.isin(group_R, together)] = scores
    return score_Rd


def _rewards(groups: Sequence[Group], knobs: Natural) -> FloatArray:
    each = []
    for group in groups:
        rewards_G = winsorized(group.rewards(), knobs.winsorize_mad)
        # A regression has no scale of its own: rounding would be learnt from like any difference.
        above_G = rewards_G - rewards_G[0] if has_spread(rewards_G) else np.zeros(len(rewards_G))
        each.append(above_G - above_G.mean())
    return np.concatenate(each)
