"""The errors that people see.

    ConceptGrpoError
    ├── UsageError            exit 2: a flag, config, data or domain is wrong; nothing started
    ├── EnvironmentNotReady   exit 3: no Redis, no workers, no credit: the run itself is fine
    ├── RunFailed             exit 1: the run started and cannot go on; what was done is kept
    └── Fenced                exit 1: another orchestrator owns the run

A message says what happened, which value, and what to do. A failed rollout is not an exception:
see ``shared.messages.Failure``.
"""

from typing import ClassVar


class ConceptGrpoError(Exception):
    """Base of every error this project raises on purpose."""

    exit_code: ClassVar[int] = 1


class UsageError(ConceptGrpoError, ValueError):
    """A flag, config, data or domain file is wrong; nothing was started."""

    exit_code = 2


class EnvironmentNotReady(ConceptGrpoError, ConnectionError):
    """Something outside the run is missing: the Redis server, the workers, the credit."""

    exit_code = 3


class RunFailed(ConceptGrpoError, RuntimeError):
    """The run started and cannot go on; everything finished so far is kept."""


class Fenced(RunFailed):
    """Another orchestrator owns this run."""
