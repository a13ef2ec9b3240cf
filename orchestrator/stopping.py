"""Why training ends before its last step: a stop file, a callback, time, plateau, convergence."""

import math
import time
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

from orchestrator.callbacks import Control
from orchestrator.config import RunConfig

Rows = Sequence[Mapping[str, Any]]

#: Steps in a row that must have moved little.
SETTLED = 5


class StopReason(StrEnum):
    """What ended training before its last step."""

    #: The held-out reward has not had a new best for ``early_stopping_patience`` evaluations.
    PLATEAU = "plateau"
    #: The policy has moved less than ``convergence_kl`` in each of the last steps.
    CONVERGED = "converged"
    #: ``max_minutes`` have passed.
    TIME = "time"
    #: A file named ``stop`` lies in the run directory.
    STOP_FILE = "stop_file"
    #: A callback set ``control.should_stop``.
    CALLBACK = "callback"


class Stop(NamedTuple):
    """A reason and its sentence."""

    reason: StopReason
    sentence: str


class Stopping:
    """Looks after every step whether training should end. One per run and process."""

    def __init__(self, config: RunConfig, directory: Path, rows: Rows = ()) -> None:
        """``rows``: those of ``metrics.jsonl``, so that a resumed run stops where it would have."""
        self._kl = config.convergence_kl
        self._kl_steps = [float(row["kl_step"]) for row in rows if "kl_step" in row]
        self._patience = config.early_stopping_patience
        self._minutes = config.max_minutes
        self._file = directory / "stop"
        self._began = time.monotonic()

    def due(
        self,
        held_out: Sequence[float | None],
        evaluated: bool,
        kl_step: float = math.inf,
        control: Control | None = None,
    ) -> Stop | None:
        """Whether to end now, given the held-out rewards so far, the initial one first.

        ``evaluated``: the last of them is of this step; a plateau is looked for only then.
        ``kl_step``: KL(new || old) of this step. ``control``: what callbacks ask for. The
        stop file is taken away, so that a resumed run does not stop at once.
        """
        self._kl_steps.append(kl_step)
        if self._file.exists():
            self._file.unlink(missing_ok=True)
            return Stop(StopReason.STOP_FILE, "a stop file was found in the run directory")
        if control is not None and control.should_stop:
            why = f": {control.reason}" if control.reason else ""
            return Stop(StopReason.CALLBACK, f"a callback asked for it{why}")
        if self._minutes is not None and time.monotonic() - self._began >= 60 * self._minutes:
            return Stop(StopReason.TIME, f"max_minutes = {self._minutes:g} have passed")
        if evaluated and plateau(held_out, self._patience):
            return Stop(
                StopReason.PLATEAU,
                f"the last {self._patience} evaluations brought no new best held-out reward",
            )
        if self._kl is not None and settled(self._kl_steps, self._kl):
            return Stop(
                StopReason.CONVERGED,
                f"the policy moved by a KL of less than {self._kl:g} in each of {SETTLED} steps",
            )
        return None


def settled(kl_steps: Sequence[float], most: float) -> bool:
    """Whether each of the last ``SETTLED`` steps moved the policy by less than ``most`` nats."""
    return len(kl_steps) >= SETTLED and max(kl_steps[-SETTLED:]) < most


def plateau(held_out: Sequence[float | None], patience: int) -> bool:
    """Whether none of the last ``patience`` rewards is above all before; never for 0."""
    known = [reward for reward in held_out if reward is not None]
    if not patience or len(known) <= patience:
        return False
    return max(known[-patience:]) <= max(known[:-patience])
