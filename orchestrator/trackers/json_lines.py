"""One JSON object per event on a stream, for ``--json``."""

import json
from typing import Any, TextIO

from orchestrator.alarms import Alarm
from orchestrator.evaluation import Evaluation
from orchestrator.ledger import Progress
from orchestrator.rollouts import Group, StepReport


class JsonLines:
    """Writes steps and evaluations as they end."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def progress(self, step: int, purpose: str, progress: Progress) -> None:
        """Nothing: a reader of lines wants what has ended."""

    def evaluated(self, evaluation: Evaluation) -> None:
        """A line with the held-out reward."""
        self._write(
            {
                "event": "evaluation",
                "kind": evaluation.kind,
                "step": evaluation.step,
                "eval/reward": evaluation.reward,
            }
        )

    def stepped(self, report: StepReport, groups: tuple[Group, ...]) -> None:
        """A line with the step's metrics."""
        self._write({"event": "step", "step": report.step, **report.metrics})

    def alarmed(self, alarm: Alarm) -> None:
        """A line with the alarm."""
        self._write({"event": "alarm", **alarm._asdict()})

    def _write(self, row: dict[str, Any]) -> None:
        self._stream.write(json.dumps(row) + "\n")
        self._stream.flush()
