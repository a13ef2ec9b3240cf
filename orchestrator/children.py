"""Child processes that end when this process ends, however it ends."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from shared.settings import OPENROUTER_API_KEY

#: Starts within so many seconds after which a command that ends again is left alone.
RESTARTS, RESTART_WINDOW_S = 10, 60.0

#: Exit codes from here on say that a signal ended the command.
KILLED = 128

_KEEPER = Path(__file__).with_name("keeper.py")


class Child:
    """A command under a keeper (``keeper.py``), in a session of its own: a Ctrl-C in the terminal
    is for the run, which stops its children in order."""

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        environment: Mapping[str, str],
        inherited: Sequence[int] = (),
    ) -> None:
        """``inherited``: file descriptors that the keeper holds as long as the command runs."""
        self._command = [sys.executable, "-I", "-S", str(_KEEPER), *command]
        self._log = log
        self._environment = environment
        self._inherited = tuple(inherited)
        self._starts = [time.monotonic()]
        self._keeper = self._start()

    def _start(self) -> "subprocess.Popen[bytes]":
        with self._log.open("ab") as output:
            return subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                env={**_environment_without_secrets(), **self._environment},
                start_new_session=True,
                pass_fds=self._inherited,
            )

    def mend(self) -> bool:
        """Start the command again if it has ended; False if it ends too often for that."""
        if not self.ended():
            return True
        now = time.monotonic()
        self._starts = [start for start in self._starts if now - start < RESTART_WINDOW_S]
        if len(self._starts) >= RESTARTS:
            return False
        self._starts.append(now)
        self.ask_to_stop()
        self._keeper = self._start()
        return True

    def ended(self) -> bool:
        """Whether the command is over."""
        return self._keeper.poll() is not None

    def failed(self) -> bool:
        """Whether the command ended by itself; one that was killed can be started again."""
        code = self._keeper.poll()
        return code is not None and code < KILLED

    def ask_to_stop(self) -> None:
        """Let go of the command; it ends within the keeper's grace time."""
        if self._keeper.stdin:
            self._keeper.stdin.close()

    def wait(self) -> None:
        """Wait until the command is over."""
        self._keeper.wait()


def _environment_without_secrets() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key != OPENROUTER_API_KEY}


def stop(children: Sequence[Child]) -> None:
    """Ask all to stop, then wait for all."""
    for child in children:
        child.ask_to_stop()
    for child in children:
        child.wait()
