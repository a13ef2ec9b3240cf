"""The errors that people see.

    ConceptGrpoError
    ├── UsageError            exit 2: a flag, config, data or domain is wrong; nothing started
    ├── EnvironmentNotReady   exit 3: no Redis, no workers, no credit: the run itself is fine
    ├── RunFailed             exit 1: the run started and cannot go on; what was done is kept
    ├── Fenced                exit 1: another orchestrator owns the run
    ├── GateFailed            exit 4: the answer was asked for as a condition, and is no, or unknown
    └── RunStopped            exit 0 or 3: the run stopped in order, and goes on when it is resumed

A message says what happened, which value, and what to do. A failed rollout is not an exception:
see ``shared.messages.Failure``.
"""


class ConceptGrpoError(Exception):
    """Base of every error this project raises on purpose."""

    exit_code: int = 1


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


class GateFailed(ConceptGrpoError):
    """What was asked for as a condition does not hold, or cannot be told."""

    exit_code = 4


class RunStopped(RunFailed):
    """The run stopped in order; a person may change something and resume it.

    ``kind`` "budget" is the stop that was asked for (exit 0); every other needs a person (exit 3).
    """

    def __init__(self, kind: str, sentence: str) -> None:
        super().__init__(kind, sentence)
        self.kind = kind
        self.sentence = sentence
        self.exit_code = 0 if kind == "budget" else 3

    def __str__(self) -> str:
        return self.sentence
