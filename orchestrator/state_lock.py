"""One user at a time for a state folder, also while the last one's server is still going down."""

import fcntl
import os
import time
from pathlib import Path

from shared.errors import Fenced

#: Seconds that a server may need to go down after its orchestrator was killed.
PATIENCE_S = 6.0


def lock_state(state: Path) -> int:
    """A file descriptor that holds the folder's lock; children that inherit it hold it too.

    Raises Fenced, with who has it and since when, if it is not given up within ``PATIENCE_S``.
    """
    # An engine's state holds prompts and answers.
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(state / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > end:
                owner = os.read(descriptor, 200).decode(errors="replace")
                os.close(descriptor)
                raise Fenced(
                    f"{state.name} is owned by {owner}; wait until it ends, or stop it"
                ) from None
            time.sleep(0.05)
        else:
            break
    os.truncate(descriptor, 0)
    os.write(descriptor, f"process {os.getpid()} since {time.strftime('%H:%M:%S')}".encode())
    return descriptor
