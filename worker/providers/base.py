"""The seam between a slot and whatever writes its completion."""

from typing import Protocol

from shared.messages import Completion, FailureKind, Sampling, SlotPrompt


class ProviderFailure(Exception):
    """A provider has no completion for a slot, and knows why."""

    def __init__(self, kind: FailureKind, message: str) -> None:
        super().__init__(kind, message)
        self.kind = kind
        #: What happened and what to do, free of secrets.
        self.message = message

    def __str__(self) -> str:
        return f"{self.kind}: {self.message}"


class Provider(Protocol):
    """Writes completions. One instance serves all slots of a worker at the same time."""

    async def complete(self, prompt: SlotPrompt, sampling: Sampling) -> Completion:
        """Answer one slot. Raises ProviderFailure if there is no answer; cancelling it is safe."""
        ...
