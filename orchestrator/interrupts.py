"""Ctrl-C and SIGTERM: the first asks for an orderly stop, the second stops now."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupted(BaseException):
    """A signal asked this process to stop; the exit code says which."""

    def __init__(self, exit_code: int) -> None:
        super().__init__(exit_code)
        self.exit_code = exit_code


class Interrupts:
    """What signals have asked for so far."""

    def __init__(self) -> None:
        #: 128 + the number of the first signal; 0 = none came.
        self.exit_code = 0
        #: Whether a second one came: nothing is to be waited for.
        self.twice = False
        #: Whether the first one only asks.
        self._waits = True

    @property
    def came(self) -> bool:
        """Whether a signal has come."""
        return bool(self.exit_code)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Inside, the first SIGINT or SIGTERM is noted, and the second raises Interrupted."""
        watched = (signal.SIGINT, signal.SIGTERM)
        before = {each: signal.signal(each, self._note) for each in watched}
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Inside, the first signal raises Interrupted: for work whose loss costs nothing.

        Raises Interrupted at the start if a signal has come already.
        """
        with self.watched():
            if self.came:
                raise Interrupted(self.exit_code)
            self._waits = False
            try:
                yield
            finally:
                self._waits = True

    def _note(self, number: int, _: FrameType | None) -> None:
        if not self.exit_code:
            self.exit_code = 128 + number
            if not self._waits:
                raise Interrupted(self.exit_code)
            return
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, signal.SIG_IGN)
        self.twice = True
        raise Interrupted(self.exit_code)
