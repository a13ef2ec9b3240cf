"""A shell in a pseudo-terminal: what is typed goes through a real line discipline, Ctrl-C too."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.processes import PATIENCE_S, put_down
from tests.running import ORCHESTRATOR, clean_environment

ROWS, COLUMNS = 50, 200
CTRL_C = "\x03"
#: The prompt shows the exit code of the command before it.
PROMPT = re.compile(r"<exit (\d+)> $")
#: What moves the cursor, colours or clears.
CONTROL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b[()=>][0-9A-Za-z]?|\r|\x07")


class Terminal:
    """What a person types and sees. Made by ``terminal``."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._shown = ""
        #: Where the output of the line typed last begins.
        self._mark = 0

    @property
    def shown(self) -> str:
        """Everything since the line that was typed last, without control sequences."""
        return CONTROL.sub("", self._shown[self._mark :])

    def type(self, line: str) -> None:
        """A line and the Enter key."""
        self._mark = len(self._shown)
        self.press(f"{line}\n")

    def press(self, keys: str) -> None:
        """Keys without Enter."""
        os.write(self._descriptor, keys.encode())

    def wait_for(self, words: str) -> str:
        """What is shown, once it matches the regular expression ``words``."""
        end = time.monotonic() + PATIENCE_S
        while not re.search(words, self.shown):
            left = end - time.monotonic()
            assert left > 0, f"not within {PATIENCE_S:.0f} s: {words!r} in\n{self.shown}"
            self._read(left)
        return self.shown

    def run(self, line: str) -> str:
        """Type a command, and return what it shows; it must end with exit code 0."""
        self.type(line)
        return self.end(0)

    def end(self, code: int) -> str:
        """What the command has shown when the prompt is back; its exit code must be ``code``."""
        shown = self.wait_for(PROMPT.pattern)
        found = PROMPT.search(shown)
        assert found is not None
        assert int(found[1]) == code, shown
        return shown

    def _read(self, within_s: float) -> None:
        ready, _, _ = select.select([self._descriptor], [], [], min(within_s, 0.5))
        if ready:
            self._shown += os.read(self._descriptor, 65536).decode("utf-8", errors="replace")


def _take_the_terminal() -> None:
    """In the child, before it is the shell: its terminal, and signals as a login has them.

    Who starts the tests in the background has Ctrl-C ignored, and a child inherits that for good.
    """
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


@contextmanager
def terminal(folder: Path, environment: Mapping[str, str] | None = None) -> Iterator[Terminal]:
    """bash in ``folder``, with the commands of this environment on its PATH."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    ours = {
        "PATH": f"{ORCHESTRATOR.parent}:/usr/local/bin:/usr/bin:/bin",
        "PS1": "<exit $?> ",
        "TERM": "xterm-256color",
        "BASH_SILENCE_DEPRECATION_WARNING": "1",
    }
    env = clean_environment(folder, {**ours, **(environment or {})})
    # The terminal says how wide it is.
    env.pop("COLUMNS", None)
    shell = subprocess.Popen(
        ["bash", "--norc", "--noprofile", "-i"],
        cwd=folder,
        env=env,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        preexec_fn=_take_the_terminal,
    )
    os.close(slave)
    try:
        person = Terminal(master)
        person.wait_for(PROMPT.pattern)
        yield person
    finally:
        # As when the window is closed: the shell tells whatever still runs in it.
        shell.send_signal(signal.SIGHUP)
        put_down(shell)
        os.close(master)
