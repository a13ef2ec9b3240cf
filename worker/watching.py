"""Whoever looks at a worker's calls: told of each when it has ended. Costs nothing without."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from shared.wire.verdicts import Classified
from worker.slots import GroupTask


class EndedCall(NamedTuple):
    """One call that has ended, without its texts."""

    task: GroupTask
    #: run/s003/e017/k2/generate
    id: str
    #: What it was booked as: generate, judge or eval.
    role: str
    #: The model that was asked.
    model: str
    seconds: float
    found: Classified


class Watch(Protocol):
    """Told from the worker's loop and from its threads."""

    def called(self, call: EndedCall) -> None:
        """A call has ended, well or not."""

    def worked(self, task: GroupTask, seconds: float) -> None:
        """A task has ended; another worker may have had the group."""

    def paused(self, scope: str, seconds: float) -> None:
        """The endpoint asked for a pause of all calls of a scope."""


Watches = Sequence[Watch]
