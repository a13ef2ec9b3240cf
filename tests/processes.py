"""What runs on this machine, read from /proc: for tests that promise no process is left behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

PROC = Path("/proc")
needs_proc = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


#: Seconds that a test waits for a state at most. A wait ends when the state comes, so this costs
#: nothing; it is one number, and large, so that no test assumes how fast a machine is.
PATIENCE_S = 60.0


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Wait until ``condition`` holds; fail with ``what`` if it never does."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, f"not within {PATIENCE_S:.0f} s: {what}"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    """Whether the process runs; one that ended and was not yet waited for does not."""
    if not PROC.is_dir():
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        return True
    state = _stat(pid)
    return state is not None and state[0] not in {"Z", "X"}


def descendants(pid: int) -> set[int]:
    """The process ids below ``pid``, whatever session they are in."""
    parents = {child: int(stat[1]) for child in _pids() if (stat := _stat(child)) is not None}
    below: set[int] = set()
    fresh = {pid}
    while fresh:
        fresh = {child for child, parent in parents.items() if parent in fresh} - below
        below |= fresh
    return below


def command_line(pid: int) -> str:
    """The command line of a process, blank-separated; empty if it is gone."""
    return _read(pid, "cmdline").replace("\0", " ").strip()


def environment(pid: int) -> dict[str, str]:
    """The environment a process was started with."""
    pairs = (entry.partition("=") for entry in _read(pid, "environ").split("\0"))
    return {name: value for name, _, value in pairs if name}


def running(pids: set[int], words: str) -> list[int]:
    """Those of the processes whose command line holds ``words``, without their keepers."""
    lines = {pid: command_line(pid) for pid in sorted(pids)}
    return [pid for pid, line in lines.items() if words in line and "keeper.py" not in line]


def every_command_line() -> list[str]:
    """The command lines of all processes that this user may see."""
    return [line for pid in _pids() if (line := command_line(pid))]


def put_down(process: "subprocess.Popen[str] | subprocess.Popen[bytes]") -> None:
    """Leave nothing of a process that a test started, and close its pipes."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe:
            pipe.close()
    process.wait()


def _pids() -> list[int]:
    return [int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit()]


def _stat(pid: int) -> list[str] | None:
    """State, parent and what follows; the command before them may hold blanks and brackets."""
    text = _read(pid, "stat")
    return text.rpartition(")")[2].split() if text else None


def _read(pid: int, name: str) -> str:
    try:
        return (PROC / str(pid) / name).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
