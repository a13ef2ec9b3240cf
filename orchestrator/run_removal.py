"""Removing a run: all of it or nothing, and never one that is alive."""

import shutil
from contextlib import ExitStack
from pathlib import Path

from orchestrator.comparison.folder import engine_state_of
from orchestrator.embedded import check_server, connect
from orchestrator.run_names import is_run, mend_latest
from orchestrator.run_state import owner, unattended
from orchestrator.session import engine_state, forget_engine
from shared.errors import UsageError
from shared.keys import RunKeys
from shared.redis_address import redacted

#: A folder of this prefix is what is left of a removal that was interrupted.
REMOVING = ".removing-"


def remove_run(path: Path, url: str | None = None) -> None:
    """Remove a run's folder, the state of its engines, and its keys on a given server.

    ``latest`` then links to the newest run that is left. Raises UsageError if the folder is no run
    or somebody is at the run, or at an evaluation of it.
    """
    if not is_run(path):
        raise UsageError(f"{path}: is no run directory; nothing was removed")
    evaluations = list(path.glob("evaluations/*"))
    engines = [engine_state(path), *map(engine_state_of, evaluations)]
    with ExitStack() as held:
        for folder in evaluations:
            if not held.enter_context(unattended(folder)):
                raise UsageError(
                    f"{path.name} is in use: {folder.name} is under way; stop it first (Ctrl-C),"
                    " then remove the run"
                )
        # The server of a killed run holds the lock of its state until it has gone down.
        for folder in (path, *engines):
            if not held.enter_context(unattended(folder)):
                raise UsageError(
                    f"{path.name} is alive: {owner(path)} is at it; stop it first (Ctrl-C, or"
                    f" touch {path}/stop), then remove it"
                )
        if url is not None:
            _forget_keys(url, path.name)
        gone = path.with_name(f"{REMOVING}{path.name}")
        try:
            path.replace(gone)
        except OSError as error:
            raise UsageError(f"cannot remove {path}: {error.strerror or error}") from None
    shutil.rmtree(gone, ignore_errors=True)
    for engine in engines:
        forget_engine(engine)
    mend_latest(path.parent)


def _forget_keys(url: str, run: str) -> None:
    """Remove a run's keys. Raises UsageError if an orchestrator renews its fence there."""
    keys = RunKeys(run)
    check_server(url)
    with connect(url) as redis:
        if redis.exists(keys.fence):
            raise UsageError(f"{run} is alive: its fence is held at {redacted(url)}; stop it first")
        for key in redis.scan_iter(keys.everything, count=1000):
            redis.delete(key)
