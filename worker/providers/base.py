"""The seam between a slot and whatever writes its completion."""

from typing import Protocol

from shared.messages import Completion, GenerateJob, SlotPrompt


class Provider(Protocol):
    """Writes completions. One instance serves all slots of a worker at the same time."""

    async def complete(self, prompt: SlotPrompt, job: GenerateJob) -> Completion:
        """Answer one slot. Raises ProviderFailure if there is no answer; cancelling it is safe."""
        ...
