"""``metrics.jsonl`` and the kept evaluations as curves with intervals."""

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeGuard

import numpy as np

from orchestrator.evaluation import Evaluation, Kind
from orchestrator.inputs import Inputs
from orchestrator.intervals import t_interval
from orchestrator.paired import compare
from orchestrator.report.html.facts import Curve, Level, Measure
from orchestrator.report.html.plain_text import line
from orchestrator.report.html.rollout_scan import POINTS, runs_of
from orchestrator.rollouts import FloatArray
from orchestrator.run_directory import RunDirectory

Rows = Sequence[Mapping[str, Any]]
#: Evaluations that are drawn: each paired interval costs some milliseconds.
EVALUATIONS = 40
#: What a report shows over steps, by its name in ``metrics.jsonl``.
SHOWN = (
    "entropy", "kl", "kl_step", "clip_ratio", "frac_reward_zero_std", "frac_repeated_actions",
    "staleness", "reward_std", "completion_words", "completion_s/p50", "completion_s/p95",
    "step_s", "cost/total",
)  # fmt: skip


class Evaluations(NamedTuple):
    """The kept held-out evaluations of a run."""

    #: Of the policy, in the order of their steps: initial, interval, final.
    policy: tuple[Evaluation, ...]
    plain: Evaluation | None

    @property
    def initial(self) -> Evaluation | None:
        return next((e for e in self.policy if e.kind == "initial"), None)

    @property
    def newest(self) -> Evaluation | None:
        """After training began; None if there is none."""
        after = [e for e in self.policy if e.kind != "initial"]
        return after[-1] if after else None

    @property
    def final(self) -> Evaluation | None:
        return next((e for e in self.policy if e.kind == "final"), None)


def steps(directory: RunDirectory) -> list[Mapping[str, Any]]:
    """The rows of ``metrics.jsonl`` that are steps, in order, the last of each."""
    by_step: dict[int, Mapping[str, Any]] = {}
    for row in directory.lines("metrics.jsonl"):
        if isinstance(row, dict) and isinstance(row.get("step"), int) and "reward" in row:
            by_step[row["step"]] = row
    return [by_step[step] for step in sorted(by_step)]


def costs(rows: Rows) -> dict[int, float]:
    """Step -> USD spent by its end."""
    return {row["step"]: dollars(row, "total") for row in rows}


def dollars(row: Mapping[str, Any], role: str) -> float:
    """What a role had cost by then; 0 where the row holds no number."""
    cost = row.get(f"cost/{role}")
    return float(cost) if _number(cost) else 0.0


def series(rows: Rows) -> dict[str, Curve]:
    """Each metric that the run has, neighbouring steps of a long run averaged."""
    parts = [name for name in (rows[-1] if rows else {}) if name.startswith("rewards/")]
    found = {}
    for name in (*SHOWN, *parts):
        known = {row["step"]: row[name] for row in rows if _number(row.get(name))}
        points = tuple(
            (float(few[-1]), float(np.mean([known[step] for step in few])))
            for few in runs_of(list(known), POINTS)
        )
        if points:
            found[name] = Curve(line(name, 80), points)
    return found


def _number(value: Any) -> TypeGuard[float]:
    with contextlib.suppress(TypeError, OverflowError):
        return not isinstance(value, bool) and math.isfinite(value)
    return False


def evaluations(directory: RunDirectory) -> Evaluations:
    """Those that can be read; of very many, some evenly spread."""
    initial, between, final, plain = (
        _kept(directory, kind) for kind in ("initial", "interval", "final", "plain")
    )
    some = [few[-1] for few in runs_of(between, EVALUATIONS)]
    return Evaluations((*initial[-1:], *some, *final[-1:]), next(iter(plain), None))


def _kept(directory: RunDirectory, kind: Kind) -> list[Evaluation]:
    paths = sorted((directory.path / "heldout").glob(f"*-{kind}.json"))
    steps = [int(step) for path in paths if (step := path.stem.partition("-")[0]).isdigit()]
    kept = [directory.kept_evaluation(kind, step) for step in steps]
    return [e for e in kept if e is not None and e.rewards]


def level(evaluation: Evaluation, spent: Mapping[int, float]) -> Level:
    """The mean over prompts, with Student's interval over them."""
    rewards_P: FloatArray = np.array(list(evaluation.rewards.values()))
    mean, low, high = float(rewards_P.mean()), None, None
    if len(rewards_P) > 1:
        error = float(rewards_P.std(ddof=1)) / len(rewards_P) ** 0.5
        interval = t_interval(mean, error, len(rewards_P) - 1)
        low, high = interval.low, interval.high
    step = evaluation.step
    return Level(step, _spent_by(step, spent), mean, low, high, len(rewards_P))


def gains(found: Evaluations, spent: Mapping[int, float]) -> Iterator[Level]:
    """Each evaluation of the policy against the first one, paired by prompt."""
    if found.initial is None:
        return
    for evaluation in found.policy:
        if evaluation is found.initial:
            continue
        paired = compare(found.initial.rewards, evaluation.rewards)
        if paired is not None:
            cost = _spent_by(evaluation.step, spent)
            yield Level(evaluation.step, cost, paired.gain, paired.low, paired.high, paired.prompts)


def measures(inputs: Inputs, found: Evaluations) -> Iterator[Measure]:
    """Each part of the reward and each eval metric, the last evaluation against the first."""
    last = found.newest
    if found.initial is None or last is None:
        return
    total = sum(term.weight for term in inputs.rewards)
    shares = {term.name: term.weight / total for term in inputs.rewards}
    for name, before in found.initial.measures.items():
        paired = compare(before, last.measures.get(name, {}))
        if paired is not None:
            yield Measure(line(name.rpartition(":")[2], 60), shares.get(name), paired)


def _spent_by(step: int, spent: Mapping[int, float]) -> float:
    return max((cost for at, cost in spent.items() if at <= step), default=0.0)
