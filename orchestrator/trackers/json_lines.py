"""One JSON object per event on a stream, for ``--json``."""

import json
import sys
from typing import Any, TextIO

from orchestrator.alarms import Alarm
from orchestrator.evaluation import Evaluation
from orchestrator.ledger import Progress
from orchestrator.rollouts import Group, StepReport
from shared.terminal import reader_left


class JsonLines:
    """Writes steps and evaluations as they end."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lost = False

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
        if self._lost:
            return
        why = "its reader has gone"
        try:
            self._stream.write(json.dumps(row) + "\n")
            self._stream.flush()
            self._lost = reader_left(self._stream)
        except OSError as error:
            self._lost, why = True, error.strerror or str(error)
        if self._lost:
            print(
                f"standard output takes no more lines ({why}); the run goes on, and its files"
                " have everything",
                file=sys.stderr,
                flush=True,
            )
