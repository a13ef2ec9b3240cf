"""Child processes that end when this process ends, however it ends."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

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
        with log.open("ab") as output:
            self._keeper = subprocess.Popen(
                [sys.executable, "-S", "-E", str(_KEEPER), *command],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                env={**os.environ, **environment},
                start_new_session=True,
                pass_fds=tuple(inherited),
            )

    def ended(self) -> bool:
        """Whether the command is over."""
        return self._keeper.poll() is not None

    def ask_to_stop(self) -> None:
        """Let go of the command; it ends within the keeper's grace time."""
        if self._keeper.stdin:
            self._keeper.stdin.close()

    def wait(self) -> None:
        """Wait until the command is over."""
        self._keeper.wait()


def stop(children: Sequence[Child]) -> None:
    """Ask all to stop, then wait for all."""
    for child in children:
        child.ask_to_stop()
    for child in children:
        child.wait()
