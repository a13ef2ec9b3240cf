"""One step or evaluation as a row of numbers: the same names in every file and service."""

from collections.abc import Mapping
from typing import Any

from orchestrator.evaluation import Evaluation
from orchestrator.rollouts import StepReport

#: Keys of a row that say what it is about.
ABOUT = frozenset({"step", "kind", "alarm", "words"})


def step_row(report: StepReport) -> dict[str, Any]:
    """The row of a step in ``metrics.jsonl``."""
    return {"step": report.step, **report.metrics}


def evaluation_row(evaluation: Evaluation) -> dict[str, Any]:
    """The row of a held-out evaluation in ``metrics.jsonl``."""
    return {
        "step": evaluation.step,
        "kind": evaluation.kind,
        "policy_version": evaluation.policy_version,
        "eval/reward": evaluation.reward,
        **{f"eval/rewards/{name}/mean": mean for name, mean in evaluation.parts.items()},
        "eval/failed": evaluation.failed,
    }


def numbers(row: Mapping[str, Any]) -> dict[str, float]:
    """The metrics of a row, as a service plots them over the steps.

    The plain prompt is no point on the policy's curve: its names begin with ``eval/plain/``.
    """
    plain = row.get("kind") == "plain"
    return {
        name.replace("eval/", "eval/plain/", 1) if plain else name: float(value)
        for name, value in row.items()
        if name not in ABOUT and isinstance(value, int | float)
    }
