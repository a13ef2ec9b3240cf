"""``python keeper.py COMMAND…``: run a command no longer than the process that started this one.

The starter holds this process's standard input open. When it ends, however it ends, the pipe
closes, and the command is asked to stop, then killed. Standard library only, so that it starts in
milliseconds.
"""

import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable

#: Seconds that the command has to end after it was asked to.
GRACE_S = 3.0


def _die_with_parent() -> Callable[[], None] | None:
    """On Linux: a hook that has the kernel end the command if this keeper itself is killed."""
    if not sys.platform.startswith("linux"):
        return None
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    set_parent_death_signal = 1
    return lambda: libc.prctl(set_parent_death_signal, signal.SIGKILL)


def main(command: list[str]) -> int:
    """The command's exit code; 128 + signal number if a signal ended it."""
    # Standard input of the command: the file descriptor named in the environment, or nothing.
    config = os.environ.pop("KEEPER_STDIN", "")
    child = subprocess.Popen(
        command,
        stdin=subprocess.PIPE if config else subprocess.DEVNULL,
        preexec_fn=_die_with_parent(),
    )
    if config and child.stdin:
        child.stdin.write(config.encode())
        child.stdin.close()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: child.terminate())
    while child.poll() is None:
        readable, _, _ = select.select([sys.stdin.fileno()], [], [], 0.25)
        if readable and not os.read(sys.stdin.fileno(), 1024):
            return _stop(child)
    return child.returncode if child.returncode >= 0 else 128 - child.returncode


def _stop(child: "subprocess.Popen[bytes]") -> int:
    child.terminate()
    try:
        child.wait(GRACE_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
