"""How a slot says that it has no result."""

from shared.messages import Failure, FailureKind


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

    def of_slot(self, slot: int, who: str = "") -> Failure:
        """What is kept in the slot's place; ``who`` failed, if it was not the generator."""
        message = f"{who}: {self.message}" if who else self.message
        return Failure(slot=slot, kind=self.kind, message=message, attempts=self.attempts)
