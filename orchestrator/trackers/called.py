"""A run's callbacks, told what the trackers are told."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from orchestrator.alarms import Alarm
from orchestrator.callbacks import Callback, Callbacks, Control, Ending, RunState
from orchestrator.evaluation import Evaluation
from orchestrator.interrupts import Interrupted
from orchestrator.ledger import Progress
from orchestrator.rollouts import Group, StepReport
from orchestrator.run_directory import RunDirectory
from orchestrator.trackers.rows import evaluation_row, step_row
from shared.errors import RunFailed, RunStopped


class Called:
    """Tells a run's callbacks."""

    def __init__(
        self, callbacks: Sequence[Callback], directory: RunDirectory, max_steps: int, done: int
    ) -> None:
        """``done``: steps that earlier attempts have committed."""
        self._callbacks = Callbacks(callbacks)
        self._directory = directory
        self._max_steps = max_steps
        self._step = done
        self._metrics: Mapping[str, Any] = {}

    @property
    def control(self) -> Control:
        """What the callbacks have asked for."""
        return self._callbacks.control

    def progress(self, step: int, purpose: str, progress: Progress) -> None:
        """Nothing: callbacks hear of what has ended."""

    def evaluated(self, evaluation: Evaluation) -> None:
        """on_evaluate."""
        state = self._state(evaluation_row(evaluation), kind=evaluation.kind)
        self._callbacks.call("on_evaluate", state)

    def stepped(self, report: StepReport, groups: tuple[Group, ...]) -> None:
        """on_step_end."""
        self._step, self._metrics = report.step, step_row(report)
        self._callbacks.call("on_step_end", self._state(self._metrics))

    def alarmed(self, alarm: Alarm) -> None:
        """on_alarm."""
        state = self._state(self._metrics, kind=alarm.kind, words=alarm.words)
        self._callbacks.call("on_alarm", state)

    def begin(self) -> None:
        """on_train_begin."""
        self._callbacks.call("on_train_begin", self._state({}))

    def end(self, ending: Ending) -> None:
        """on_train_end."""
        self._callbacks.call("on_train_end", self._state(self._metrics, ending=ending))

    def _state(self, metrics: Mapping[str, Any], **more: Any) -> RunState:
        directory = self._directory
        return RunState(
            directory.name, directory.path, self._step, self._max_steps, metrics, **more
        )


@contextmanager
def calling(called: Called) -> Iterator[Called]:
    """Training goes on inside; afterwards the callbacks hear how it ended."""
    called.begin()
    try:
        yield called
    except BaseException as error:
        stopped = isinstance(error, Interrupted | RunStopped)
        try:
            called.end("interrupted" if stopped else "failed")
        except RunFailed as second:
            error.add_note(str(second))
        raise
    called.end("finished")
