"""Who is told what happens in a run: the files, the terminal, and whoever else listens."""

from typing import Protocol

from orchestrator.alarms import Alarm
from orchestrator.evaluation import Evaluation
from orchestrator.ledger import Progress
from orchestrator.rollouts import Group, StepReport


class Tracker(Protocol):
    """Told everything, in order. One that fails at start stops the run."""

    def progress(self, step: int, purpose: str, progress: Progress) -> None:
        """News within a step or an evaluation, several times a second."""

    def evaluated(self, evaluation: Evaluation) -> None:
        """A held-out evaluation has ended."""

    def stepped(self, report: StepReport, groups: tuple[Group, ...]) -> None:
        """A step has been committed."""

    def alarmed(self, alarm: Alarm) -> None:
        """Something that a person should look at; once of a kind."""
