"""From curves to the table: mean fraction of the reachable gain with its interval, calls to 90%.

``calls to 90%`` is where the mean curve of the deployed policy over the seeds first reaches 0.9,
between two updates by a straight line; "never" is: not within the calls made. The interval is the
mean +/- t(0.975) standard errors over seeds.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from orchestrator.rollouts import FloatArray
from tests.benchmarks.learning.learner import Curve

COLUMNS = (64, 256, 1024, 4096)
TARGET = 0.9
#: Student's t, 97.5%, for 1, 2, ... degrees of freedom; then the normal's.
STUDENT = (
    *(12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23, 2.20, 2.18, 2.16, 2.14),
    *(2.13, 2.12, 2.11, 2.10, 2.09, 2.09, 2.08, 2.07, 2.07, 2.06, 2.06, 2.06, 2.05, 2.05),
)


class Estimate(NamedTuple):
    """A mean over seeds and half the width of its 95% interval."""

    mean: float
    half: float


class Row(NamedTuple):
    """One learner in one environment."""

    environment: str
    learner: str
    seeds: int
    deployed: Mapping[int, Estimate]
    explored: Mapping[int, Estimate]
    #: None is never.
    calls_to_target: float | None
    #: The mean deployed curve, for the plot.
    calls_C: list[int]
    curve_C: list[float]


def row(environment: str, learner: str, curves: Sequence[Curve]) -> Row:
    """The table's row of the curves of several seeds."""
    calls_C = curves[0].calls_C
    deployed_SC = np.array([curve.deployed_C for curve in curves])
    reached = [column for column in COLUMNS if column <= calls_C[-1]]
    explored = {
        column: [value for curve in curves if (value := curve.explored.get(column)) is not None]
        for column in reached
    }
    return Row(
        environment=environment,
        learner=learner,
        seeds=len(curves),
        deployed={
            column: estimate(deployed_SC[:, int(np.searchsorted(calls_C, column))])
            for column in reached
        },
        explored={column: estimate(np.array(v)) for column, v in explored.items() if v},
        calls_to_target=crossing(calls_C, deployed_SC.mean(axis=0)),
        calls_C=calls_C,
        curve_C=deployed_SC.mean(axis=0).tolist(),
    )


def estimate(values_S: FloatArray) -> Estimate:
    """Mean and half width of the 95% interval; infinite from one value."""
    freedom = len(values_S) - 1
    if freedom < 1:
        return Estimate(float(values_S.mean()), math.inf)
    student = STUDENT[freedom - 1] if freedom <= len(STUDENT) else 1.96 + 2.4 / freedom
    spread = float(values_S.std(ddof=1)) / math.sqrt(len(values_S))
    return Estimate(float(values_S.mean()), student * spread)


def crossing(calls_C: Sequence[int], mean_C: FloatArray) -> float | None:
    """Where the curve first reaches the target."""
    above = np.flatnonzero(mean_C >= TARGET)
    if not len(above):
        return None
    at = int(above[0])
    if at == 0:
        return float(calls_C[0])
    share = (TARGET - mean_C[at - 1]) / (mean_C[at] - mean_C[at - 1])
    return float(calls_C[at - 1] + share * (calls_C[at] - calls_C[at - 1]))


def text(rows: Sequence[Row], labels: Mapping[str, str]) -> str:
    """The table as Markdown, one block per environment."""
    lines = []
    for environment in dict.fromkeys(row.environment for row in rows):
        mine = [row for row in rows if row.environment == environment]
        columns = [column for column in COLUMNS if any(column in row.deployed for row in mine)]
        heads = [f"{column}" for column in columns]
        lines += [
            f"\n{environment}: deployed (stochastic) after calls, {mine[0].seeds} seeds\n",
            f"| learner | calls to 90% | {' | '.join(heads)} |",
            f"|---|--:|{'--:|' * len(columns)}",
        ]
        for one in mine:
            cells = [_cell(one, column) for column in columns]
            reached = one.calls_to_target
            to_target = "never" if reached is None else f"{reached:.0f}"
            lines.append(f"| {labels[one.learner]} | {to_target} | {' | '.join(cells)} |")
    return "\n".join(lines)


def document(rows: Sequence[Row], about: Mapping[str, Any]) -> dict[str, Any]:
    """The same as JSON."""
    return {**about, "rows": [one._asdict() for one in rows]}


def _cell(one: Row, column: int) -> str:
    if column not in one.deployed:
        return "–"
    deployed = one.deployed[column]
    cell = f"{deployed.mean:.3f} ±{deployed.half:.3f}"
    return cell + (f" ({one.explored[column].mean:.2f})" if column in one.explored else "")
