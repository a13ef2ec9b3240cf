"""Callbacks: code of yours that is called while a run goes on, and may end it.

A callback that raises stops the run, resumable: what it was to do is not skipped in silence. A step
is told before it is committed, so one that an interruption breaks is told again after the resume.
"""

import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from shared.errors import RunFailed, UsageError
from shared.user_code import find_user_object

#: How training ended; what is interrupted or failed may go on.
Ending = Literal["finished", "interrupted", "failed"]
Hook = Literal["on_train_begin", "on_step_end", "on_evaluate", "on_alarm", "on_train_end"]


@dataclass(frozen=True)
class RunState:
    """Where a run stands. Made by us, read by callbacks."""

    #: The run's name, and its directory; of the Python API's trainer empty, and None.
    run: str
    directory: Path | None
    #: The last step that ended, counted from 1; 0 = none.
    step: int
    max_steps: int
    #: The numbers of the step or evaluation, under the names of ``metrics.jsonl``.
    metrics: Mapping[str, float | int | None] = field(default_factory=dict)
    #: What was evaluated (initial, plain, interval, final), or the alarm's kind; else empty.
    kind: str = ""
    #: The alarm's sentence; else empty.
    words: str = ""
    #: How training ended; None while it goes on.
    ending: Ending | None = None


@dataclass
class Control:
    """What a callback may ask for."""

    #: True ends training after the step in hand, as early stopping does.
    should_stop: bool = False
    #: Why, for the people who read the result.
    reason: str = ""


class Callback:
    """Override what you want to hear of."""

    def on_train_begin(self, state: RunState, control: Control) -> None:
        """Training begins, or goes on: ``state.step`` steps are done. Nothing is paid for yet."""

    def on_step_end(self, state: RunState, control: Control) -> None:
        """A step has ended; it is committed after this."""

    def on_evaluate(self, state: RunState, control: Control) -> None:
        """A held-out evaluation has ended."""

    def on_alarm(self, state: RunState, control: Control) -> None:
        """Something that a person should look at, once of a kind."""

    def on_train_end(self, state: RunState, control: Control) -> None:
        """Training has ended, well or not: ``state.ending``."""


class Callbacks:
    """Calls every callback, in order."""

    def __init__(self, called: Sequence[Callback]) -> None:
        self._called = tuple(called)
        self.control = Control()

    def call(self, hook: Hook, state: RunState) -> None:
        """Raises RunFailed, naming the line, when a callback raises."""
        for callback in self._called:
            try:
                getattr(callback, hook)(state, self.control)
            except (Exception, SystemExit) as error:
                at = traceback.extract_tb(error.__traceback__)[-1]
                raise RunFailed(
                    f"the callback {type(callback).__name__}.{hook} raised"
                    f" {type(error).__name__}: {error} ({at.filename}:{at.lineno});"
                    " fix it or omit it, then resume the run"
                ) from error


def find_callback(name: str, folder: Path) -> type[Callback]:
    """The class behind ``module:Class``, looked for as ``shared.user_code`` says.

    Raises UsageError if there is none.
    """
    found = find_user_object(name, f"callbacks names {name!r}", folder)
    if not (isinstance(found, type) and issubclass(found, Callback)):
        raise UsageError(
            f"callbacks names {name!r}, which is not a class derived from orchestrator.Callback"
        )
    return found


def new_callback(name: str, folder: Path) -> Callback:
    """An object of the class behind ``module:Class``. Raises UsageError."""
    made = find_callback(name, folder)
    try:
        return made()
    except (Exception, SystemExit) as error:
        raise UsageError(
            f"callbacks names {name!r}, of which no object can be made without arguments:"
            f" {type(error).__name__}: {error}"
        ) from None


def checked_callbacks(callbacks: Sequence[object]) -> list[Callback]:
    """The callbacks themselves. Raises UsageError for anything else."""
    found = []
    for callback in callbacks:
        if not isinstance(callback, Callback):
            raise UsageError(
                f"callbacks needs objects of classes derived from orchestrator.Callback, found"
                f" {type(callback).__name__}"
            )
        found.append(callback)
    return found
