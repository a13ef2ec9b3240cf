"""How a slot says that it has no result."""

from shared.messages import FailureKind


class ProviderFailure(Exception):
    """A slot has no completion or no score, and why."""

    def __init__(self, kind: FailureKind, message: str, attempts: int = 1) -> None:
        super().__init__(kind, message, attempts)
        self.kind = kind
        #: What happened and what to do, free of secrets.
        self.message = message
        self.attempts = attempts

    def __str__(self) -> str:
        return f"{self.kind}: {self.message}"
