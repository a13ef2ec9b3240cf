"""Which runs may call functions of the user's own on this machine.

A run names its reward functions and callbacks in ``config.json``, and a run's folder can come from
anywhere. A run that was started here is approved by its start; another one when a person says so.
What is kept is a line for each: the folder, and a digest of the names, their options and the code
folder, so that a folder which is replaced asks again.
"""

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path

from orchestrator.config import RunConfig
from shared.errors import UsageError


def approvals_file() -> Path:
    """Where approvals are kept: in the user's state folder, never beside the runs."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "concept-grpo" / "approved-runs.jsonl"


def is_approved(run: Path, config: RunConfig) -> bool:
    """Whether the run's functions may be called; a run without any needs no approval."""
    if not config.user_functions():
        return True
    try:
        lines = approvals_file().read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return False
    return _line(run, config) in lines


def approve(run: Path, config: RunConfig) -> None:
    """Let the run's functions be called from now on.

    A home that cannot be written to keeps nothing: then a resume asks.
    """
    if is_approved(run, config):
        return
    file = approvals_file()
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "w") as kept:
            kept.write(_line(run, config) + "\n")


def refuse_unapproved(run: Path, config: RunConfig) -> None:
    """Raises UsageError for a run whose functions nobody has approved on this machine."""
    if not is_approved(run, config):
        raise UsageError(
            f"{question(run, config)}; look at them, then add --trust if they may run as you"
        )


def question(run: Path, config: RunConfig) -> str:
    """What a person is to know before the functions are called."""
    return (
        f"{run.name} was not started on this machine and calls functions of its own:"
        f" {', '.join(config.user_functions())} (from {config.code_folder()} or installed packages)"
    )


def _line(run: Path, config: RunConfig) -> str:
    names = config.user_functions()
    options = {name: config.reward_options.get(name, {}) for name in names}
    said = json.dumps([names, options, config.code_dir], sort_keys=True, default=str)
    digest = hashlib.sha256(said.encode()).hexdigest()
    return json.dumps({"run": str(run.resolve()), "sha256": digest})
