"""Whether a run runs, has ended, or how it stopped: a lock that dies with its process, and a file.

``attended`` is what the process of a run holds; everybody else asks ``state_of``.
"""

import contextlib
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

from orchestrator import strict_json
from orchestrator.interrupts import Interrupted
from orchestrator.run_names import file_mode
from shared.errors import ConceptGrpoError, Fenced, RunFailed, RunStopped

STATE_FILE = "state.json"
LOCK_FILE = "lock"


class RunState(StrEnum):
    """Where a run stands, for people who look from outside."""

    #: A process is at it.
    RUNNING = "running"
    #: It has a result.
    FINISHED = "finished"
    #: Ctrl-C, a kill or a crash; it can be resumed.
    INTERRUPTED = "interrupted"
    #: It has reached its cap; it can be resumed with a higher one.
    BUDGET = "budget"
    #: It waits for a person: key, credit, workers, server, disk; then it can be resumed.
    STOPPED = "stopped"
    #: It cannot go on as it is.
    FAILED = "failed"
    #: Files of the run are missing or cannot be read.
    DAMAGED = "damaged"


class Standing(NamedTuple):
    """A state and why."""

    state: RunState
    #: In words; empty where the state says it all.
    reason: str = ""
    #: Steps that the run is planned to have; None if that is not known.
    steps: int | None = None


@contextmanager
def attended(directory: Path, steps: int) -> Iterator[None]:
    """Hold the run's lock; at the end its ``state.json`` says how it stopped, if it did.

    Several may hold it: who owns the run is decided by the fence of its store.
    """
    who = f"process {os.getpid()} on {socket.gethostname()} since {time.strftime('%H:%M:%S')}"
    row: dict[str, Any] = {"state": RunState.INTERRUPTED, "reason": "", "steps": steps}
    with contextlib.suppress(OSError):
        (directory / LOCK_FILE).touch(file_mode(directory))
    with unattended(directory) as alone:
        if alone:
            _note(directory, {**row, "owner": who})
    with _held(directory, fcntl.LOCK_SH):
        try:
            yield
        except Fenced:
            # The run is another's, and so is what is said of it.
            raise
        except BaseException as error:
            state, reason = _why(error)
            _note(directory, {**row, "state": state, "reason": reason})
            raise
        _note(directory, {**row, "state": RunState.FINISHED})


@contextmanager
def unattended(directory: Path) -> Iterator[bool]:
    """Whether no process is at the run; inside, none can begin to be if so."""
    try:
        with _held(directory, fcntl.LOCK_EX | fcntl.LOCK_NB):
            yield True
    except BlockingIOError:
        yield False


def owner(directory: Path) -> str:
    """Who is at a run, in words."""
    return str(_noted(directory).get("owner", "a process"))


def state_of(directory: Path) -> Standing:
    """How a run stands, as far as its folder can say. Raises nothing."""
    noted = _noted(directory)
    steps = noted.get("steps") if isinstance(noted.get("steps"), int) else None
    with unattended(directory) as free:
        if not free:
            return Standing(RunState.RUNNING, owner(directory), steps)
    state, reason = str(noted.get("state")), str(noted.get("reason", ""))
    if (directory / "run.json").is_file():
        return Standing(RunState.FINISHED, "", steps)
    if state in {RunState.BUDGET, RunState.STOPPED, RunState.FAILED}:
        return Standing(RunState(state), reason, steps)
    return Standing(RunState.INTERRUPTED, reason, steps)


def _why(error: BaseException) -> tuple[RunState, str]:
    if isinstance(error, Interrupted | KeyboardInterrupt):
        return RunState.INTERRUPTED, "stopped by a signal"
    if isinstance(error, RunStopped):
        budget = error.kind == "budget"
        return RunState.BUDGET if budget else RunState.STOPPED, str(error)
    if isinstance(error, RunFailed):
        return RunState.FAILED, str(error)
    if isinstance(error, ConceptGrpoError):
        return RunState.STOPPED, str(error)
    # Words of others may hold what nobody should read.
    return RunState.STOPPED, type(error).__name__


def _noted(directory: Path) -> dict[str, Any]:
    with contextlib.suppress(OSError, ValueError):
        found = strict_json.own((directory / STATE_FILE).read_bytes())
        return found if isinstance(found, dict) else {}
    return {}


def _note(directory: Path, row: dict[str, Any]) -> None:
    beside = directory / f".{STATE_FILE}.{os.getpid()}"
    # A disk that is full has said so already, and a run that is gone needs no note.
    with contextlib.suppress(OSError):
        try:
            beside.touch(file_mode(directory))
            beside.write_text(json.dumps(row, indent=2) + "\n", encoding="utf-8")
            beside.replace(directory / STATE_FILE)
        except OSError:
            beside.unlink(missing_ok=True)


@contextmanager
def _held(directory: Path, how: int) -> Iterator[None]:
    """The lock of a folder, if it has one and the file system knows locks.

    Raises BlockingIOError if somebody else has it.
    """
    descriptor = _opened(directory / LOCK_FILE)
    if descriptor is None:
        yield
        return
    try:
        _lock(descriptor, how)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, how: int) -> None:
    try:
        fcntl.flock(descriptor, how)
    except BlockingIOError:
        raise
    except OSError:
        # A file system without locks; the fence still keeps two from being at one run.
        return


def _opened(lock: Path) -> int | None:
    for mode in (os.O_RDWR, os.O_RDONLY):
        with contextlib.suppress(OSError):
            return os.open(lock, mode | os.O_CLOEXEC)
    return None
